// The form of a sound, drawn by wavesurfer over the player's own <audio>.
import WaveSurfer from "wavesurfer.js";

/**
 * Wavesurfer puts a <style> into its shadow tree, which the page's policy refuses; here its rules become a constructed
 * sheet, which the policy allows.
 */
function withSheetInsteadOfStyle(make) {
  const attach = Element.prototype.attachShadow;
  Element.prototype.attachShadow = function attachWithSheets(options) {
    const shadow = attach.call(this, options);
    const { set } = Object.getOwnPropertyDescriptor(ShadowRoot.prototype, "innerHTML");
    Object.defineProperty(shadow, "innerHTML", {
      configurable: true,
      set(html) {
        delete shadow.innerHTML;
        const rules = html.match(/<style[^>]*>([\s\S]*?)<\/style>/);
        set.call(shadow, rules ? html.replace(rules[0], "") : html);
        if (!rules) return;
        const sheet = new CSSStyleSheet();
        sheet.replaceSync(rules[1]);
        shadow.adoptedStyleSheets = [sheet];
      },
    });
    return shadow;
  };
  try {
    return make();
  } finally {
    Element.prototype.attachShadow = attach;
  }
}

/** Draw the sound of `media` in `container`; `seek(share)` is told where somebody pressed. */
export function drawWave(container, media, seek) {
  const ink = getComputedStyle(container);
  const wave = withSheetInsteadOfStyle(() => WaveSurfer.create({
    container,
    media,
    height: 96,
    interact: false,
    waveColor: ink.getPropertyValue("--tblr-gray-400").trim() || "#a19a8d",
    progressColor: ink.getPropertyValue("--tblr-primary").trim() || "#2a6a5d",
    cursorWidth: 0,
  }));
  wave.on("error", () => (container.hidden = true));
  wave.on("ready", () => (container.hidden = false));
  const onPress = (event) => {
    const box = container.getBoundingClientRect();
    seek((event.clientX - box.left) / box.width);
  };
  container.addEventListener("pointerdown", onPress);
  return {
    destroy() {
      container.removeEventListener("pointerdown", onPress);
      wave.destroy();
    },
  };
}
