/* The behaviour of a transcript's page. The text is in the document as it is; this only looks for places in it: no
 element per word, one listener per kind of event, and ranges painted with the CSS Custom Highlight API. */
"use strict";
const root = document.documentElement;
root.classList.add("js");
const THEME = "transcript-theme", SINGLE = "transcript-keys";
const kept = (name, value) => { // a page opened from mail may have no storage
  try { return value === undefined ? localStorage.getItem(name) : localStorage.setItem(name, value); } catch { return null; }
};
if (/^(light|dark)$/.test(kept(THEME))) root.dataset.theme = kept(THEME);

document.addEventListener("DOMContentLoaded", () => {
  const $ = (selector, within = document) => within.querySelector(selector);
  const field = $("#q"), count = $("#count"), audio = $("audio"), bar = $(".bar"), keys = $("#keys"), single = $("#single");
  const P = [...document.querySelectorAll(".p")];
  const indexOf = new Map(P.map((p, i) => [p, i]));
  const say = (text) => { $("#status").textContent = text; };

  // Places in a paragraph's text
  const X = (p) => p.lastElementChild;
  const range = (p, from, to) => {
    const found = document.createRange(), walk = document.createTreeWalker(X(p), NodeFilter.SHOW_TEXT);
    let node = walk.nextNode(), open = false;
    for (let at = 0; node; at += node.length, node = walk.nextNode()) {
      if (!open && from < at + node.length) { found.setStart(node, from - at); open = true; }
      if (open && to <= at + node.length) { found.setEnd(node, to - at); break; }
    }
    return found;
  };
  const canPaint = typeof Highlight === "function" && CSS.highlights;
  const paint = (name, ranges, priority = 0) => {
    if (!canPaint) return;
    const made = new Highlight(...ranges);
    made.priority = priority;
    CSS.highlights.set(name, made);
  };
  const isVisible = (box) => box.top >= bar.getBoundingClientRect().bottom && box.bottom <= innerHeight;
  const show = (p, place, again = 2) => { // twice: what comes into view only now gets its true height
    const box = (place || p).getBoundingClientRect(), top = bar.getBoundingClientRect().bottom;
    if (!isVisible(box)) scrollBy(0, box.top - (place ? (top + innerHeight) / 2.5 : top + 12));
    if (again) requestAnimationFrame(() => show(p, place, again - 1));
  };
  const topmost = () => {
    const edge = bar.getBoundingClientRect().bottom + 8;
    return P.findIndex((p) => !p.hidden && p.getBoundingClientRect().bottom > edge);
  };

  // Search: without case and accents
  const fold = (text) => text.toLowerCase().normalize("NFKD").replace(/\p{Mn}/gu, "")
    .replace(/[‘’ʼ]/g, "'").replace(/[“”]/g, '"').replace(/ς/g, "σ");
  const indexed = (p) => p.indexed ??= (() => {
    const text = X(p).textContent, folded = fold(text);
    if (folded.length === text.length) return { folded };
    const map = []; // from places in the folded text to places in the text
    let whole = "", at = 0;
    for (const letter of text) {
      const plain = fold(letter);
      for (let k = 0; k < plain.length; k++) map.push(at);
      whole += plain;
      at += letter.length;
    }
    map.push(at);
    return { folded: whole, map };
  })();
  let hits = [], current = -1, anchor = 0;
  const inView = new Set();
  const paintHits = () => {
    if (canPaint) paint("hit", hits.filter(([p]) => inView.has(p)).map(([p, from, to]) => range(p, from, to)));
  };
  const search = () => {
    const wanted = fold(field.value).trim();
    if (!hits.length) anchor = Math.max(0, topmost());
    hits = [];
    current = -1;
    for (const p of wanted ? P : []) {
      if (p.hidden) continue;
      const { folded, map } = indexed(p);
      for (let at = folded.indexOf(wanted); at >= 0; at = folded.indexOf(wanted, at + wanted.length)) {
        const end = at + wanted.length;
        hits.push([p, map ? map[at] : at, map ? Math.max(map[end], map[at] + 1) : end]);
      }
    }
    $("#up").disabled = $("#down").disabled = !hits.length;
    count.textContent = wanted ? (hits.length ? "" : "no match") : "";
    paintHits();
    paint("match", []);
    if (hits.length) step(0, Math.max(0, hits.findIndex(([p]) => indexOf.get(p) >= anchor)));
  };
  const step = (by, to = (current + by + hits.length) % hits.length) => {
    if (!hits.length) return;
    current = to;
    const [p, from, end] = hits[current], place = range(p, from, end);
    count.textContent = `${current + 1} of ${hits.length}`;
    paint("match", [place], 1);
    if (!canPaint) getSelection().removeAllRanges(), getSelection().addRange(place);
    show(p, place);
  };
  const clear = () => { field.value = ""; search(); };
  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) inView[isIntersecting ? "add" : "delete"](target);
    if (hits.length) paintHits();
  }, { rootMargin: "50%" });
  P.forEach((p) => watch.observe(p));

  // Speakers
  let turnAt = -1;
  const only = (button) => {
    const on = button && button.getAttribute("aria-pressed") === "false";
    for (const other of document.querySelectorAll(".only")) other.setAttribute("aria-pressed", String(on && other === button));
    for (const p of P) p.hidden = Boolean(on) && p.dataset.s !== button.dataset.s;
    if (on) say(`${P.filter((p) => !p.hidden).length} paragraphs shown`);
    search();
    turnAt = -1;
  };
  const focus = (p) => {
    p.tabIndex = -1;
    p.focus({ preventScroll: true });
    show(p);
  };
  const next = (speaker) => {
    const isTurn = (p) => p.dataset.s === speaker && p.classList.contains("n") && !p.hidden;
    const from = turnAt >= 0 && isVisible(P[turnAt].getBoundingClientRect()) ? turnAt : topmost() - 1;
    for (let k = 1; k <= P.length; k++) {
      const i = (from + k + P.length) % P.length;
      if (isTurn(P[i])) { turnAt = i; return focus(P[i]); }
    }
  };
  const move = (by) => {
    const at = indexOf.get(document.activeElement.closest(".p"));
    let i = at === undefined ? topmost() : at + by;
    while (P[i] && P[i].hidden) i += by;
    if (P[i]) focus(P[i]);
  };

  // What the model was not sure of
  const doubts = [...document.querySelectorAll("mark, .d:not(:has(mark))")];
  const holder = (one) => one.closest(".p");
  let checked = null;
  const check = (by) => {
    const open = doubts.filter((one) => !holder(one).hidden), near = checked && isVisible(checked.getBoundingClientRect());
    if (!open.length) return say("No place to check in what is shown");
    let i = near ? open.indexOf(checked) : -1;
    if (i < 0) { // from where the reader is
      const edge = topmost();
      i = open.findIndex((one) => indexOf.get(holder(one)) >= edge);
      i = (i < 0 ? open.length : i) - (by > 0 ? 1 : 0);
    }
    i = (i + by + open.length) % open.length;
    checked = open[i];
    $("#place").textContent = `${i + 1} of ${open.length}`;
    checked.tabIndex = -1;
    checked.focus({ preventScroll: true });
    show(holder(checked), checked);
    const time = $(".t", holder(checked))?.textContent;
    say([`Place ${i + 1} of ${open.length} to check`, checked.title, time].filter(Boolean).join(", "));
  };

  // Playback
  const timed = P.filter((p) => p.dataset.t).map((p) => [+p.dataset.t, p]).sort((a, b) => a[0] - b[0]);
  const words = (p) => p.words ??= (() => { // place, end, seconds
    const numbers = p.dataset.w ? p.dataset.w.split(" ") : [], found = [];
    for (let k = 0, at = 0, t = Math.round(p.dataset.t * 100); k < numbers.length; k += 3) {
      at += +numbers[k];
      found.push([at, at += +numbers[k + 1], (t += +numbers[k + 2]) / 100]);
    }
    return found;
  })();
  const seek = (seconds) => {
    audio.currentTime = seconds;
    audio.play().catch(() => say("The recording could not be played."));
  };
  const wordAt = (p, x, y) => {
    const caret = document.caretPositionFromPoint?.(x, y) ?? document.caretRangeFromPoint?.(x, y);
    const node = caret?.offsetNode ?? caret?.startContainer;
    if (!node || !X(p).contains(node)) return null;
    const before = document.createRange();
    before.setStart(X(p), 0);
    before.setEnd(node, caret.offset ?? caret.startOffset);
    const at = before.toString().length, found = words(p), k = found.findLastIndex(([from]) => from <= at);
    const holds = (box) => x >= box.left - 1 && x <= box.right + 1 && y >= box.top - 4 && y <= box.bottom + 4;
    return [found[k], found[k - 1]].find((word) => word && [...range(p, word[0], word[1]).getClientRects()].some(holds)) ?? null;
  };
  let nowP = null, nowWord = null, handled = 0;
  const follow = () => {
    const time = audio.currentTime, p = timed.findLast(([from]) => from <= time + 0.01)?.[1] ?? null;
    if (p !== nowP) {
      nowP?.classList.remove("now");
      p?.classList.add("now");
      const near = p && !p.hidden && !isVisible(p.getBoundingClientRect()) && performance.now() - handled > 4000;
      if (near && !audio.paused) show(p);
      nowP = p;
    }
    const word = p && words(p).findLast(([, , from]) => from <= time + 0.01);
    if (word !== nowWord) paint("word", word ? [range(p, word[0], word[1])] : [], 2);
    nowWord = word;
    if (!audio.paused) requestAnimationFrame(follow);
  };
  if (audio) {
    for (const kind of ["play", "seeked"]) audio.addEventListener(kind, follow);
    for (const kind of ["wheel", "touchmove", "keydown"]) addEventListener(kind, () => { handled = performance.now(); }, { passive: true });
    let pending = 0;
    $("main").addEventListener("pointermove", ({ target, clientX, clientY, pointerType }) => {
      cancelAnimationFrame(pending);
      if (pointerType === "mouse") pending = requestAnimationFrame(() => {
        const p = target.closest(".x")?.parentElement, word = p && wordAt(p, clientX, clientY);
        paint("hover", word ? [range(p, word[0], word[1])] : []);
      });
    });
  }

  // Copies and files
  const nameOf = (p) => {
    let i = indexOf.get(p);
    while (i > 0 && !P[i].classList.contains("n")) i--;
    return $("b", P[i])?.textContent ?? "";
  };
  const line = (p) => {
    const head = [nameOf(p), $(".t", p)?.textContent].filter(Boolean).join(", ");
    return (head ? head + "\n" : "") + X(p).textContent;
  };
  const copy = async (text, button) => {
    try { await navigator.clipboard.writeText(text); } catch { // no such thing on a page that came by plain http
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    say("Copied");
    const label = $("span", button) ?? button, was = label.dataset.was ??= label.textContent;
    label.textContent = "Copied";
    button.classList.add("done");
    setTimeout(() => { label.textContent = was; button.classList.remove("done"); }, 1500);
  };
  const download = async (name) => {
    const file = [...document.scripts].find((script) => script.dataset.file === name);
    const packed = Uint8Array.from(atob(file.textContent), (letter) => letter.charCodeAt(0));
    const plain = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await new Response(plain).blob());
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  };
  if (typeof DecompressionStream !== "function") $(".get")?.remove();

  // Theme
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches);
  const tellTheme = () => $("#theme").setAttribute("aria-pressed", String(isDark()));
  const toggleTheme = () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    kept(THEME, root.dataset.theme);
    tellTheme();
  };
  prefersDark.addEventListener("change", tellTheme);
  tellTheme();

  // What a person does
  const help = () => keys.showModal();
  const clicks = {
    up: () => step(-1), down: () => step(1), before: () => check(-1), after: () => check(1), theme: toggleTheme, help,
    copy: (button) => copy(P.filter((p) => !p.hidden).map(line).join("\n\n") + "\n", button),
  };
  document.addEventListener("click", (event) => {
    const { target } = event, button = target.closest("button"), p = target.closest(".p");
    if (target === keys) return keys.close(); // beside the dialog
    if (button?.id) return clicks[button.id]?.(button);
    if (button?.dataset.get) return download(button.dataset.get);
    if (button?.classList.contains("only")) return only(button);
    if (button?.classList.contains("next")) return next(button.dataset.s);
    if (button?.classList.contains("c")) return copy(line(p), button);
    if (button?.classList.contains("t")) return seek(+p.dataset.t);
    if (audio && p?.dataset.w && target.closest(".x") && getSelection().isCollapsed) {
      const word = wordAt(p, event.clientX, event.clientY);
      if (word) seek(word[2]);
    }
  });
  field.addEventListener("input", search);
  field.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "Enter") { event.preventDefault(); step(event.shiftKey ? -1 : 1); }
    if (event.key === "Escape") { event.preventDefault(); event.stopPropagation(); if (field.value) clear(); else field.blur(); }
  });
  const presses = {
    "/": () => { field.focus(); field.select(); },
    "?": help, t: toggleTheme, j: () => move(1), k: () => move(-1), d: () => check(1), D: () => check(-1),
    c: () => { const p = document.activeElement.closest(".p"); if (p) copy(line(p), $(".c", p)); },
    Escape: () => { clear(); only(null); },
  };
  if (audio) Object.assign(presses, {
    p: () => {
      const { activeElement } = document, p = activeElement.closest(".p"), word = activeElement.closest("mark[data-t]");
      if (!audio.paused) audio.pause(); else if (word) seek(Math.max(0, word.dataset.t - 2)); else if (p?.dataset.t && p !== nowP) seek(+p.dataset.t); else seek(audio.currentTime);
    },
    ArrowLeft: () => { audio.currentTime -= 5; },
    ArrowRight: () => { audio.currentTime += 5; },
  });
  document.addEventListener("keydown", (event) => {
    const { key, target } = event;
    if (keys.open || event.ctrlKey || event.metaKey || event.altKey || target.closest("input, audio")) return;
    if (key.length === 1 && !single.checked) return;
    const press = /^[1-9]$/.test(key) ? () => next(String(key - 1)) : presses[key];
    if (press) { event.preventDefault(); press(); }
  });
  single.checked = kept(SINGLE) !== "off";
  single.addEventListener("change", () => kept(SINGLE, single.checked ? "on" : "off"));

  const language = $("#language");
  try { if (language) language.textContent = new Intl.DisplayNames(["en"], { type: "language" }).of(language.textContent); } catch { /* the tag will do */ }
});
