"""Will it fit, and how long will it take? Predictions of memory and time from shapes alone: no torch, no Django.

`memory.predict_memory(shape, plan)` for training, `serving.predict_serving(shape, plan)` for serving, `timing.predict_time`,
`cards.CARDS`, and `recipes.fitting_recipe` for the first recipe that fits.
"""
