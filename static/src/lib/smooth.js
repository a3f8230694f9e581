// Exponential moving average with bias correction: weight 0 shows the raw curve, 0.99 the slowest trend.
export function smooth(values, weight) {
  if (weight <= 0) return values;
  let mean = 0;
  let total = 0;
  return values.map((value) => {
    if (value === null || !Number.isFinite(value)) return value;
    mean = weight * mean + (1 - weight) * value;
    total = weight * total + (1 - weight);
    return mean / total;
  });
}
