// An island is one rich widget: an element with data-island="name". It is mounted when the page loads or htmx brings
// it, and its clean-up runs when it leaves.
const mounted = new Map();

function mountAll(name, mount) {
  for (const element of document.querySelectorAll(`[data-island="${name}"]`)) {
    if (mounted.has(element)) continue;
    mounted.set(element, null);
    mounted.set(element, mount(element) ?? null);
  }
  for (const [element, leave] of mounted) {
    if (element.isConnected) continue;
    mounted.delete(element);
    leave?.();
  }
}

/** Mount every element of a kind, now and later. `mount(element)` may return a clean-up function. */
export function island(name, mount) {
  const run = () => mountAll(name, mount);
  document.addEventListener("htmx:after:swap", run);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", run);
  else run();
}
