// The inbox: the thread's end stays in sight, days stand between messages, typed words survive a reload, keys for everything.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const scroll = $("scroll"), conversation = document.querySelector("[data-conversation]")?.dataset.conversation;
  const title = document.title;
  const kept = `answer-${conversation}`;

  // --- what is unread stands in the tab's title ---------------------------------------------------------------------------
  function showUnread() {
    const count = $("list")?.dataset.unread;
    document.title = count ? `(${count}) ${title}` : title;
  }

  $("search")?.form.addEventListener("submit", (event) => event.preventDefault());

  // --- days, in the reader's own zone -------------------------------------------------------------------------------------
  const dayName = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
  function showDays() {
    if (!scroll) return;
    scroll.querySelectorAll(".day[data-made]").forEach((old) => old.remove());
    let before = "";
    for (const bubble of scroll.querySelectorAll("[data-at]")) {
      const at = new Date(bubble.dataset.at), day = at.toDateString();
      if (day !== before) {
        const line = document.createElement("li");
        line.className = "day";
        line.dataset.made = "yes";
        const days = Math.round((new Date(new Date().toDateString()) - new Date(day)) / 86400000);
        line.textContent = days === 0 ? "Today" : days === 1 ? "Yesterday" : dayName.format(at);
        bubble.before(line);
        before = day;
      }
    }
  }

  // --- the end of the thread ----------------------------------------------------------------------------------------------
  let atEnd = true, newest = 0;
  const isAtEnd = () => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;
  function toEnd() { if (scroll) scroll.scrollTop = scroll.scrollHeight; }

  function follow() {
    const now = Number($("recent")?.dataset.newest || 0);
    const seen = document.querySelector("#composer [name=seen]");
    if (seen && !seen.dataset.fixed) seen.value = now;
    if (now > newest && atEnd) toEnd();
    newest = now;
    showWindow($("recent")?.dataset.window !== "closed");
  }

  // The 24 hours may begin or end while the page is open.
  function showWindow(open) {
    const send = $("send");
    if (!send || !$("closed-note") || $("closed-note").hidden === open) return;
    $("closed-note").hidden = open;
    send.disabled = !open;
    noteMode(!open);
  }

  // --- the composer -------------------------------------------------------------------------------------------------------
  let typedAt = 0;
  const text = () => $("text");

  function restore() {
    if (!text()) return;
    if (!text().value.trim()) text().value = sessionStorage.getItem(kept) || "";
    resetReply();
  }

  function put(words) {
    text().value = words;
    sessionStorage.setItem(kept, words);
    text().focus();
  }

  function replyTo(bubble) {
    const form = $("composer"), shown = form.querySelector(".replying");
    form.elements.reply_to.value = bubble.dataset.external;
    shown.querySelector("span").textContent = bubble.querySelector(".text")?.textContent || "";
    shown.hidden = false;
    text().focus();
  }

  // As a note: then Enter keeps it for colleagues and sends nothing.
  function noteMode(on) {
    const form = $("composer");
    if (!form) return;
    form.toggleAttribute("data-note", on);
    text().placeholder = on ? "Write a note: only your colleagues see it" : text().dataset.answer;
  }

  function showFile() {
    const chip = document.querySelector(".chosen-file"), file = $("file").files[0];
    chip.hidden = !file;
    chip.querySelector("span").textContent = file ? `${file.name} · ${size(file.size)}` : "";
    text().placeholder = file ? "Write something to go with it" : text().dataset.answer;
    if (file) text().focus();
  }
  const size = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

  function resetReply() {
    const form = $("composer");
    if (!form) return;
    form.elements.reply_to.value = "";
    form.querySelector(".replying").hidden = true;
  }

  document.addEventListener("change", (event) => event.target.id === "file" && showFile());
  document.addEventListener("paste", (event) => {
    if (event.target.id !== "text" || !event.clipboardData.files.length) return;
    event.preventDefault();
    $("file").files = event.clipboardData.files;
    showFile();
  });
  document.addEventListener("input", (event) => {
    if (event.target.id !== "text") return;
    typedAt = Date.now();
    sessionStorage.setItem(kept, event.target.value);
    suggestCanned();
  });

  // --- canned answers: "/" and some letters -------------------------------------------------------------------------------
  let chosen = -1;
  const options = () => [...($("canned")?.children || [])].filter((option) => !option.hidden);

  function suggestCanned() {
    const list = $("canned"), word = /^\/(\S*)$/.exec(text().value);
    if (!list) return;
    for (const option of list.children) {
      const typed = word?.[1].toLowerCase(), { shortcut, text: words } = option.dataset;
      const fits = word && (shortcut.toLowerCase().startsWith(typed) || (typed.length > 2 && words.toLowerCase().includes(typed)));
      option.hidden = !fits;
    }
    list.hidden = !word || !options().length;
    choose(list.hidden ? -1 : 0);
  }

  function choose(place) {
    const shown = options();
    chosen = shown.length ? (place + shown.length) % shown.length : -1;
    shown.forEach((option, index) => option.setAttribute("aria-selected", String(index === chosen)));
    text().setAttribute("aria-activedescendant", shown[chosen]?.id || "");
    shown[chosen]?.scrollIntoView({ block: "nearest" });
  }

  function useCanned(option) {
    put(option.dataset.text);
    $("canned").hidden = true;
  }

  // --- clicks ---------------------------------------------------------------------------------------------------------------
  document.addEventListener("click", (event) => {
    const on = (selector) => event.target.closest(selector);
    if (on("[data-reply]")) replyTo(on("[data-reply]").closest(".bubble"));
    else if (on("[data-no-reply]")) resetReply();
    else if (on("[data-no-file]")) { $("file").value = ""; showFile(); }
    else if (on("#canned [role=option]")) useCanned(on("[role=option]"));
    else if (on("[data-use-draft]")) { put($("draft-text").textContent); $("suggestion").replaceChildren(); $("suggestion").className = ""; }
    else if (on("[data-drop-draft]")) { $("suggestion").replaceChildren(); $("suggestion").className = ""; text().focus(); }
    for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });

  // --- keys -----------------------------------------------------------------------------------------------------------------
  function inComposer(event) {
    if (!$("canned").hidden && options().length) {
      if (event.key === "ArrowDown") { event.preventDefault(); return choose(chosen + 1); }
      if (event.key === "ArrowUp") { event.preventDefault(); return choose(chosen - 1); }
      if (event.key === "Enter" || event.key === "Tab") { event.preventDefault(); return useCanned(options()[chosen]); }
      if (event.key === "Escape") { event.preventDefault(); $("canned").hidden = true; return; }
    }
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      const button = $("composer").hasAttribute("data-note") ? $("note") : $("send");
      if (!button.disabled && (text().value.trim() || $("file").files.length)) button.click(); // requestSubmit() would pass the note's own address by
    } else if (event.key === "Escape") text().blur();
  }

  const next = (step) => {
    const items = [...document.querySelectorAll("a.conversation")];
    const now = items.findIndex((item) => item.getAttribute("aria-current"));
    const wanted = items[now + step];
    if (wanted) location.href = wanted.href;
  };
  const press = (ending) => document.querySelector(`form[action$="${ending}"] button`)?.click();
  const KEYS = {
    j: () => next(1), k: () => next(-1), "/": () => $("search").focus(), r: () => { if (!$("send")?.disabled) noteMode(false); text()?.focus(); },
    n: () => { noteMode(true); text()?.focus(); },
    t: () => (document.querySelector('form[action$="/take"]') ? press("/take") : press("/hand-back")),
    e: () => press("/close"), "?": () => $("shortcuts")?.showModal(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.target.id === "text") return inComposer(event);
    if (event.target.matches("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]") || !KEYS[event.key]) return;
    event.preventDefault();
    KEYS[event.key]();
  });

  // --- htmx -----------------------------------------------------------------------------------------------------------------
  document.addEventListener("htmx:configRequest", (event) => {
    if (event.detail.elt.id === "recent" && Date.now() - typedAt < 5000) event.detail.parameters.writing = "yes";
  });
  document.addEventListener("htmx:beforeSwap", () => { if (scroll) atEnd = isAtEnd(); });
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target?.id !== "bar" || !document.querySelector("#bar details[open]")) return;
    event.detail.shouldSwap = false; // an open menu is not taken away under the reader's hand
  });
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    if (document.querySelector("#bar details[open], #bar :focus")) event.detail.shouldSwap = false;
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    const id = event.detail.elt?.id || event.target.id;
    if (id === "list") showUnread();
    if (id === "recent" || id === "older" || event.target.closest?.("#scroll")) { showDays(); follow(); showFound(); showControls(); }
    if (id === "composer") sent();
    const results = $("results");
    if (results) results.parentElement.classList.toggle("searching", !!results.textContent.trim());
  });

  // A player that plays on is moved into the new lines, and Chromium then no longer draws its buttons.
  function showControls() {
    for (const player of scroll.querySelectorAll("[hx-preserve]")) { player.controls = false; player.controls = true; }
  }

  function sent() {
    const refused = document.querySelector("#composer .error");
    if (!refused) { sessionStorage.removeItem(kept); atEnd = true; typedAt = 0; }
    text().focus();
    htmx.trigger("#recent", "refresh");
  }

  // The line that a search led to stays marked when the lines around it are drawn anew.
  function showFound() {
    const line = scroll?.dataset.at && $(scroll.dataset.at);
    line?.classList.add("found");
    return line;
  }

  restore();
  showUnread();
  showDays();
  newest = Number($("recent")?.dataset.newest || 0);
  const at = showFound();
  if (at) at.scrollIntoView({ block: "center" }); else toEnd();
})();
