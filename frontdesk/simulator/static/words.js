// WhatsApp's marks as DOM nodes. What a person or a model wrote is only ever text: nothing here parses HTML.
"use strict";

const MARKS = [
  [/```([\s\S]+?)```/, "code"],
  [/`([^`\n]+)`/, "code"],
  [/(?<![\p{L}\p{N}*])\*(?!\s)([^*\n]+?)(?<!\s)\*(?![\p{L}\p{N}*])/u, "strong"],
  [/(?<![\p{L}\p{N}_])_(?!\s)([^_\n]+?)(?<!\s)_(?![\p{L}\p{N}_])/u, "em"],
  [/(?<![\p{L}\p{N}~])~(?!\s)([^~\n]+?)(?<!\s)~(?![\p{L}\p{N}~])/u, "s"],
];

function marked(text) {
  const fragment = document.createDocumentFragment();
  let first = null;
  for (const [pattern, tag] of MARKS) {
    const found = pattern.exec(text);
    if (found && (first === null || found.index < first.found.index)) first = { found, tag };
  }
  if (first === null) {
    fragment.append(text);
    return fragment;
  }
  const { found, tag } = first;
  const inner = document.createElement(tag);
  inner.append(tag === "code" ? found[1] : marked(found[1]));
  fragment.append(text.slice(0, found.index), inner, marked(text.slice(found.index + found[0].length)));
  return fragment;
}
