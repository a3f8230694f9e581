// Markdown of models, made harmless. A growing answer is drawn block by block: only what changed is drawn again.
import DOMPurify from "dompurify";
import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import cpp from "highlight.js/lib/languages/cpp";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import python from "highlight.js/lib/languages/python";
import sql from "highlight.js/lib/languages/sql";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";
import { Lexer, Parser, Renderer } from "marked";
import { copyText } from "../lib/comforts.js";
import { h } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { icon } from "../lib/icons.js";

for (const [name, language] of Object.entries({ bash, cpp, java, javascript, json, python, sql, xml, yaml })) hljs.registerLanguage(name, language);

// No data-*, ids, classes or styles of the model's choosing: our own scripts act on those.
const RULES = {
  RETURN_DOM_FRAGMENT: true,
  USE_PROFILES: { html: true },
  FORBID_TAGS: ["style", "form", "input", "button", "select", "textarea", "option", "dialog", "video", "audio", "source", "picture", "map", "area"],
  FORBID_ATTR: ["style", "id", "name", "srcset", "background", "action", "formaction", "popovertarget", "slot", "is"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
};

const purify = DOMPurify(window);
purify.addHook("uponSanitizeAttribute", (_node, attribute) => {
  if (attribute.attrName === "class") attribute.keepAttr = /^language-[\w+#-]+$/.test(attribute.attrValue);
});
purify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName === "A") {
    node.setAttribute("target", "_blank");
    node.setAttribute("rel", "noopener noreferrer nofollow");
  }
});

/** HTML in an answer is text to be read; the sanitiser behind is the second wall, not the first. */
class PlainRenderer extends Renderer {
  html({ text }) {
    return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
  }
}

function dressCode(pre) {
  const code = pre.querySelector("code");
  const language = code?.className.match(/language-(\S+)/)?.[1] ?? "";
  const text = code?.textContent ?? pre.textContent;
  if (code && hljs.getLanguage(language) && text.length < 20_000) {
    // highlight.js escapes what it marks; the result holds only its own <span class="hljs-…">.
    code.innerHTML = hljs.highlight(text, { language, ignoreIllegals: true }).value;
  }
  const copy = h("button.code-copy", { type: "button", "aria-label": t("chat.copy_code"), onclick: () => copyText(text) }, icon("copy"));
  const frame = h("div.code-frame", {}, h("div.code-head", {}, h("span", {}, language || t("chat.code")), copy));
  pre.replaceWith(frame);
  frame.append(pre);
}

function drawBlock(token) {
  const block = h("div.md-block");
  block.append(purify.sanitize(Parser.parse([token], { renderer: new PlainRenderer() }), RULES));
  for (const pre of block.querySelectorAll("pre")) dressCode(pre);
  for (const table of block.querySelectorAll("table")) {
    table.className = "table table-sm";
    const scroll = h("div.scroll-x", { tabIndex: 0 });
    table.replaceWith(scroll);
    scroll.append(table);
  }
  return block;
}

/** Keeps an element in step with a markdown text. */
export class Markdown {
  constructor(element) {
    this.element = element;
    this.blocks = [];
  }

  update(text) {
    const tokens = new Lexer({ gfm: true, breaks: true }).lex(text).filter((token) => token.type !== "space");
    let same = 0;
    while (same < tokens.length && same < this.blocks.length && this.blocks[same].raw === tokens[same].raw) same += 1;
    for (const { element } of this.blocks.splice(same)) element.remove();
    for (const token of tokens.slice(same)) {
      const element = drawBlock(token);
      this.blocks.push({ raw: token.raw, element });
      this.element.append(element);
    }
  }
}
