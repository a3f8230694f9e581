// Answers of deployed models over the gateway, as they are written.
import { api, ApiError, csrfToken, errorMessage } from "../lib/api.js";
import { t } from "../lib/i18n.js";
import { readCall } from "./record.js";

/** Names of the models that are deployed in a workspace. */
export async function deployedModels(url, workspace) {
  const { data } = await api(url);
  return data.filter((model) => !workspace || model.owned_by === workspace).map((model) => model.id);
}

/** A message in the form that engines take. */
function outgoing({ role, content, name, tool_calls: calls, tool_call_id: id }) {
  const message = { role, content: content ?? "" };
  if (name) message.name = name;
  if (id) message.tool_call_id = id;
  if (calls?.length) message.tool_calls = calls.map((call, at) => {
    const { name: called, text } = readCall(call);
    return { id: call.id ?? `call_${at}`, type: "function", function: { name: called, arguments: text } };
  });
  return message;
}

function pieceOf(line) {
  if (!line.startsWith("data:")) return "";
  const data = line.slice(5).trim();
  if (!data || data === "[DONE]") return "";
  const event = JSON.parse(data);
  if (event.error) throw new ApiError(event.error.message);
  return event.choices?.[0]?.delta?.content ?? "";
}

/** Ask a model to go on after `messages`; `heard(text)` is told the answer so far. Resolves with the whole answer. */
export async function askModel({ url, model, messages, heard, signal }) {
  let response;
  try {
    response = await fetch(url, {
      method: "POST",
      credentials: "same-origin",
      signal,
      headers: { "Content-Type": "application/json", "X-CSRFToken": csrfToken() },
      body: JSON.stringify({ model, messages: messages.map(outgoing), stream: true }),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(t("error.network"));
  }
  if (!response.ok) throw new ApiError(errorMessage(response.status, await response.text()), { status: response.status });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const lines = (rest + value).split(/\r?\n/);
    rest = lines.pop();
    for (const line of lines) text += pieceOf(line);
    heard(text);
  }
  text += pieceOf(rest);
  return text.trim();
}
