// A replay's keys: j and k go from answer to answer; b, w and s mark the one that is chosen and go on. Everything is a button too.
"use strict";
(() => {
  const turns = () => [...document.querySelectorAll("[data-turn]")];
  const chosen = () => document.activeElement?.closest("[data-turn]");

  function go(step) {
    const all = turns(), now = all.indexOf(chosen());
    const wanted = all[now < 0 ? 0 : now + step];
    if (!wanted) return;
    wanted.focus({ preventScroll: true });
    wanted.scrollIntoView({ block: "nearest" });
  }

  function mark(word) {
    const button = chosen()?.querySelector(`.mark-${word}`);
    if (!button) return;
    button.click();
    go(1);
  }

  const KEYS = { j: () => go(1), k: () => go(-1), b: () => mark("better"), w: () => mark("worse"), s: () => mark("same") };
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]") || !KEYS[event.key]) return;
    event.preventDefault();
    KEYS[event.key]();
  });
})();
