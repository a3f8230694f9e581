// Differences between two texts by word (by character in Chinese), longest common subsequence, for short texts.
const LIMIT = 1500;

const pieces = (text) => text.match(/[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]|[\p{L}\p{N}_]+|\s+|[^\s]/gu) ?? [];

/** [["same" | "gone" | "new", text], …] that turns `before` into `after`; one block each when both are long. */
export function difference(before, after) {
  const left = pieces(before);
  const right = pieces(after);
  let start = 0;
  while (start < left.length && start < right.length && left[start] === right[start]) start += 1;
  let leftEnd = left.length;
  let rightEnd = right.length;
  while (leftEnd > start && rightEnd > start && left[leftEnd - 1] === right[rightEnd - 1]) {
    leftEnd -= 1;
    rightEnd -= 1;
  }
  const parts = [];
  const add = (kind, piece) => {
    if (!piece) return;
    if (parts.at(-1)?.[0] === kind) parts.at(-1)[1] += piece;
    else parts.push([kind, piece]);
  };
  add("same", left.slice(0, start).join(""));
  middle(left.slice(start, leftEnd), right.slice(start, rightEnd), add);
  add("same", left.slice(leftEnd).join(""));
  return parts;
}

function middle(left, right, add) {
  if (left.length > LIMIT || right.length > LIMIT) {
    add("gone", left.join(""));
    add("new", right.join(""));
    return;
  }
  const width = right.length + 1;
  const longest = new Uint16Array((left.length + 1) * width);
  for (let i = left.length - 1; i >= 0; i -= 1) {
    for (let j = right.length - 1; j >= 0; j -= 1) {
      longest[i * width + j] = left[i] === right[j] ? longest[(i + 1) * width + j + 1] + 1 : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
    }
  }
  let i = 0;
  let j = 0;
  while (i < left.length || j < right.length) {
    if (i < left.length && j < right.length && left[i] === right[j]) {
      add("same", left[i]);
      i += 1;
      j += 1;
    } else if (j >= right.length || (i < left.length && longest[(i + 1) * width + j] >= longest[i * width + j + 1])) {
      add("gone", left[i]);
      i += 1;
    } else {
      add("new", right[j]);
      j += 1;
    }
  }
}
