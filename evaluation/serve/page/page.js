"use strict";
// One plant's photographs go to the server whenever they change; what comes back is shown as text, never as markup.

const $ = (id) => document.getElementById(id);
const VIEW_NAMES = { Unknown: "not named", LeafScan: "Leaf scan", Entire: "Entire plant", Stem: "Stem or bark" };
const WAIT_MS = 150;
const MAX_RETRIES = 5;

let facts = null;
let photographs = []; // {number, file, address, view, fault, card}
let counter = 0;
let asking = null; // AbortController of the request under way
let timer = 0;

const make = (tag, options = {}, ...children) => {
  const { class: name, ...rest } = options;
  const element = Object.assign(document.createElement(tag), rest);
  if (name) element.className = name;
  element.append(...children.filter((child) => child !== null));
  return element;
};

const percent = (value) => (value > 0 && value < 0.01 ? "< 1 %" : value < 1 && value > 0.99 ? "> 99 %" : `${Math.round(100 * value)} %`);
const nameOf = (one) => one.species || `class ${one.class_id}`;
const viewName = (view) => VIEW_NAMES[view] ?? view;
const megabytes = (bytes) => `${+(bytes / 1e6).toFixed(1)} MB`;
const plural = (n) => `${n} photograph${n === 1 ? "" : "s"}`;
const sentence = (error) => `Expected ${error.expected}, got ${error.got}. ${error.remedy}`;

// Photographs

const tell = (...messages) => $("fault").replaceChildren(...messages.map((text) => make("p", { textContent: text })));

const preview = (one, alt) => {
  const image = make("img", { src: one.address, alt });
  image.addEventListener("error", () => image.replaceWith(make("span", { class: "none", textContent: "no preview" })));
  return image;
};

const remove = (one) => {
  const at = photographs.indexOf(one);
  photographs.splice(at, 1);
  URL.revokeObjectURL(one.address);
  one.card.remove();
  const next = photographs[Math.min(at, photographs.length - 1)];
  (next ? next.card.querySelector(".remove") : $("files")).focus();
  changed();
};

const makeCard = (one) => {
  const select = make("select", { id: `view-${one.number}` });
  const views = facts.views.filter((view) => view !== "Unknown");
  for (const view of ["Unknown", ...views]) select.append(make("option", { value: view, textContent: viewName(view) }));
  select.addEventListener("change", () => {
    one.view = select.value;
    changed();
  });
  const button = make("button", { type: "button", class: "remove", textContent: "×" });
  button.setAttribute("aria-label", `Remove ${one.file.name}`);
  button.addEventListener("click", () => remove(one));
  const label = make("label", { htmlFor: select.id }, "It shows", make("span", { class: "unseen", textContent: ` (${one.file.name})` }));
  const body = make("div", {}, make("p", { class: "name", textContent: one.file.name }), make("div", { class: "view" }, label, select));
  return make("li", {}, preview(one, ""), body, button, make("p", { class: "alone" }));
};

const add = (files) => {
  if (!facts) return;
  const limits = facts.limits;
  const refused = [];
  const taken = [];
  for (const file of files) {
    const known = [...photographs, ...taken.map((found) => ({ file: found }))].map((one) => one.file);
    const total = known.reduce((sum, one) => sum + one.size, file.size);
    if (file.size > limits.file_bytes) refused.push(`${file.name} has ${megabytes(file.size)}; at most ${megabytes(limits.file_bytes)} are taken. Save it smaller.`);
    else if (known.length >= limits.photographs) refused.push(`${file.name}: at most ${plural(limits.photographs)} of one plant are taken. Leave some out.`);
    else if (total > limits.total_bytes * 0.99) refused.push(`${file.name}: all photographs together may have ${megabytes(limits.total_bytes)}. Save them smaller.`);
    else taken.push(file);
  }
  tell(...refused.slice(0, 3), ...(refused.length > 3 ? [`${refused.length - 3} more were left out.`] : []));
  for (const file of taken) {
    const one = { number: (counter += 1), file, address: URL.createObjectURL(file), view: "Unknown", fault: null };
    one.card = makeCard(one);
    photographs.push(one);
    $("cards").append(one.card);
  }
  if (taken.length) changed();
};

const note = (one, text, bad) => {
  one.card.classList.toggle("bad", bad);
  one.card.querySelector(".alone").textContent = text;
};

// Asking

const changed = () => {
  document.body.classList.toggle("some", photographs.length > 0);
  $("clear").hidden = photographs.length === 0;
  asking?.abort();
  clearTimeout(timer);
  if (photographs.every((one) => one.fault)) {
    forget();
    return;
  }
  timer = setTimeout(ask, WAIT_MS);
};

const forget = () => {
  document.body.classList.remove("busy");
  $("result").replaceChildren();
  $("similar").hidden = true;
  $("state").textContent = photographs.length ? "None of these photographs can be used." : "Add a photograph, and the answer appears here.";
};

const pause = (seconds, signal) =>
  new Promise((resolve, reject) => {
    const waiting = setTimeout(resolve, 1000 * seconds);
    signal.addEventListener("abort", () => {
      clearTimeout(waiting);
      reject(new DOMException("changed", "AbortError"));
    });
  });

const send = async (asked, signal) => {
  const form = new FormData();
  for (const one of asked) {
    form.append("files", one.file, one.file.name);
    form.append("views", one.view);
  }
  for (let attempt = 0; ; attempt += 1) {
    const response = await fetch("/api/identify", { method: "POST", body: form, signal });
    if (response.status !== 503 || attempt >= MAX_RETRIES) return response;
    const seconds = Math.min(30, Number(response.headers.get("Retry-After")) || 1);
    $("state").textContent = `Others are being answered first; asking again in ${seconds} s.`;
    await pause(seconds, signal);
  }
};

const ask = async () => {
  const own = new AbortController();
  const asked = photographs.filter((one) => !one.fault);
  asking = own;
  document.body.classList.add("busy");
  $("state").textContent = `Looking at ${plural(asked.length)} …`;
  try {
    const response = await send(asked, own.signal);
    const content = await response.json();
    if (own.signal.aborted) return;
    if (response.ok) show(content, asked);
    else refused(content, asked);
  } catch (error) {
    if (error.name === "AbortError") return;
    const reason = error instanceof SyntaxError ? "The server gave no answer that can be read." : "The server cannot be reached. Is it still running?";
    failed(`${reason} The photographs are still here: change one, or add another, to ask again.`);
  } finally {
    if (asking === own) document.body.classList.remove("busy");
  }
};

const failed = (text) => {
  tell(text);
  $("state").textContent = $("result").hasChildNodes() ? "This answer is for the photographs before the last change." : "No answer.";
};

const refused = (error, asked) => {
  const numbers = error.photographs ?? [];
  if (!numbers.length) {
    failed(sentence(error));
    return;
  }
  for (const number of numbers) {
    const one = asked[number - 1];
    one.fault = numbers.length > 1 ? "It cannot be read." : sentence(error);
    note(one, one.fault, true);
  }
  tell(numbers.length > 1 ? sentence(error) : `${asked[numbers[0] - 1].file.name} is left out; the reason stands beside it.`);
  changed();
};

// Answer

const bars = (ranking, sure) => {
  const list = make("ol", { class: sure ? "ranking sure" : "ranking" });
  for (const one of ranking) {
    const amount = make("span");
    const track = make("div", { class: "track" }, amount);
    track.setAttribute("aria-hidden", "true");
    const name = make("span", {}, nameOf(one), one.family ? make("span", { class: "family", textContent: ` ${one.family}` }) : null);
    list.append(make("li", {}, make("div", { class: "line" }, name, make("span", { textContent: percent(one.probability) })), track));
    requestAnimationFrame(() => requestAnimationFrame(() => (amount.style.width = `${100 * one.probability}%`)));
  }
  return list;
};

const taxa = (content) => {
  const parts = [];
  if (content.genus) parts.push(`genus ${content.genus.name} ${percent(content.genus.probability)}`);
  if (content.family) parts.push(`family ${content.family.name} ${percent(content.family.probability)}`);
  return parts.length ? make("p", { class: "taxa", textContent: parts.join(" · ").replace(/^./, (first) => first.toUpperCase()) }) : null;
};

const verdict = (content) => {
  const best = content.ranking[0];
  if (content.unknown) {
    const text = `The likeliest one reaches ${percent(content.doubt.value)}; a plant is named from ${percent(content.doubt.accept_from)} on.`;
    return [make("p", { class: "verdict doubtful", textContent: "Probably none of the species that are known here" }), make("p", { class: "taxa", textContent: text })];
  }
  return [make("p", { class: "verdict", textContent: nameOf(best) })];
};

// Rows are the species that lead now, columns the photographs in the order in which they were added.
const buildUp = (content, asked) => {
  const steps = content.build_up;
  if (steps.length < 2) return null;
  const numbers = content.photographs.map((one) => one.image_id);
  const head = make("tr", {}, make("th", { scope: "col", textContent: "With photograph" }));
  steps.forEach((step, at) => {
    const one = asked[numbers.indexOf(step.image_id)];
    const view = one.view === "Unknown" ? "" : ` ${viewName(one.view).toLowerCase()}`;
    head.append(make("th", { scope: "col", textContent: `${at ? "+ " : ""}${asked.indexOf(one) + 1}${view}` }));
  });
  const rows = content.ranking.map((best) => {
    const row = make("tr", {}, make("th", { scope: "row", textContent: nameOf(best) }));
    for (const step of steps) {
      const place = step.ranking.findIndex((one) => one.class_id === best.class_id);
      const cell = make("td", { textContent: place < 0 ? "–" : percent(step.ranking[place].probability) });
      if (place === 0) cell.append(make("span", { class: "unseen", textContent: " (likeliest)" }));
      cell.classList.toggle("first", place === 0);
      row.append(cell);
    }
    return row;
  });
  const table = make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows));
  const scroll = make("div", { class: "scroll", tabIndex: 0 }, table);
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-labelledby", "build-up");
  return make("div", {}, make("h3", { id: "build-up", textContent: "How the answer grew" }), scroll);
};

// The page counts its photographs; the names that the API gives them stay its own.
const remarks = (content) => {
  const names = content.photographs.map((one, at) => [one.image_id, `photograph ${at + 1}`]);
  names.sort(([first], [second]) => second.length - first.length);
  const found = content.remarks.map((text) => names.reduce((told, [name, words]) => told.replaceAll(name, words), text));
  if (content.unknown === null) found.unshift(`One of ${Object.keys(facts.species).length} species is always named: no threshold for unknown plants is known.`);
  return found.length ? make("ul", { class: "notes" }, ...found.map((text) => make("li", { textContent: text }))) : null;
};

const show = (content, asked) => {
  content.photographs.forEach((found, at) => {
    const best = found.ranking[0];
    if (found.failure) note(asked[at], `Left out: ${found.failure}`, true);
    else note(asked[at], `Alone: ${nameOf(best)}, ${percent(best.probability)}`, false);
  });
  const used = content.build_up.length;
  const best = content.ranking[0];
  const named = content.unknown ? "probably an unknown species" : `${nameOf(best)}, ${percent(best.probability)}`;
  const result = [...verdict(content), taxa(content), bars(content.ranking, !content.unknown), buildUp(content, asked), remarks(content)];
  $("result").replaceChildren(...result.filter((part) => part !== null));
  const how = `by ${plural(used)} in ${content.seconds.toFixed(1)} s`;
  // Seen below in large letters; said here.
  const said = make("span", { class: "unseen", textContent: `: ${named}` });
  $("state").replaceChildren(content.unknown ? `Unsure, ${how}` : `Most likely, ${how}`, said);
  alike(content, asked);
};

// Photographs that look alike

const kinsman = (one) => {
  const image = make("img", { src: one.photograph, alt: `Training photograph of ${nameOf(one)}`, loading: "lazy" });
  image.addEventListener("error", () => image.replaceWith(make("span", { class: "none", textContent: "no photograph" })));
  return make("li", {}, make("figure", {}, image, make("figcaption", { textContent: `${nameOf(one)}, ${one.cosine.toFixed(2)}` })));
};

const alike = (content, asked) => {
  const groups = content.photographs.flatMap((found, at) => {
    const some = content.neighbours[found.image_id] ?? [];
    if (!some.length) return [];
    const own = make("figure", { class: "own" }, preview(asked[at], asked[at].file.name), make("figcaption", { textContent: `Yours: ${asked[at].file.name}` }));
    return [make("div", { class: "kin" }, own, make("ul", { class: "strip" }, ...some.map(kinsman)))];
  });
  $("alike").replaceChildren(...groups);
  $("similar").hidden = groups.length === 0;
};

// Start

const isFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

const listen = () => {
  $("files").addEventListener("change", () => {
    add([...$("files").files]);
    $("files").value = "";
  });
  $("clear").addEventListener("click", () => {
    for (const one of photographs) URL.revokeObjectURL(one.address);
    photographs = [];
    $("cards").replaceChildren();
    tell();
    changed();
    $("files").focus();
  });
  addEventListener("dragover", (event) => {
    if (!isFiles(event)) return;
    event.preventDefault();
    document.body.classList.add("over");
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) document.body.classList.remove("over");
  });
  addEventListener("drop", (event) => {
    document.body.classList.remove("over");
    if (!isFiles(event)) return;
    event.preventDefault();
    add([...event.dataTransfer.files]);
  });
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) add(files);
  });
};

const start = async () => {
  try {
    const response = await fetch("/api/models");
    facts = await response.json();
  } catch {
    tell("The server cannot be reached. Load this page again once it runs.");
    return;
  }
  const limits = facts.limits;
  $("models").textContent = `${facts.models.map((one) => one.model).join(" + ")}, ${Object.keys(facts.species).length} species`;
  $("promise").textContent = facts.keeps ? "This server keeps the photographs and the answers." : "They are looked at and then deleted.";
  $("bounds").textContent = `JPEG, PNG, WebP, TIFF, BMP or GIF; up to ${plural(limits.photographs)}, ${megabytes(limits.file_bytes)} each.`;
  listen();
  forget();
};

start();
