// Work that waited in the browser and was then refused: what the server said, the answers, and what to do with them.
import { h, replace } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { answersView } from "./answers.js";

/** `again` and `discard` are called with the entry that the person decided about. */
export function showRefused(host, schema, entries, { again, discard }) {
  host.hidden = entries.length === 0;
  const notices = entries.map((entry) =>
    h(
      "div.alert.alert-warning",
      { role: "alert" },
      h("p", {}, t("label.refused", { reason: entry.reason })),
      answersView(schema, entry.json.value ?? []),
      h("div.btn-list.mt-2", {}, h("button.btn.btn-primary", { type: "button", onclick: () => again(entry) }, t("label.refused_again")), h("button.btn", { type: "button", onclick: () => discard(entry) }, t("label.refused_drop"))),
    ),
  );
  replace(host, notices);
}
