"use strict";
// Reads /openapi.json and offers a form for each operation. Everything is shown as text, never as markup.

const MOST_PIECES = 2000;
const SENT_AGAIN = "sent again";
let schemas = {};

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function resolved(schema) {
  return schema.$ref ? schemas[schema.$ref.split("/").pop()] : schema;
}

// What a value may be, in a few words.
function kindOf(given) {
  const schema = resolved(given);
  if (schema.enum) return schema.enum.filter((each) => each !== "").join(" | ");
  if (schema.const !== undefined) return String(schema.const);
  if (schema.anyOf) return [...new Set(schema.anyOf.map(kindOf))].filter((each) => each !== "null").join(" | ");
  if (schema.type === "array") return `list of ${kindOf(schema.items ?? {})}`;
  if (schema.properties) return `object with ${Object.keys(schema.properties).join(", ")}`;
  if (schema.type === "object") {
    const names = schema.propertyNames ? kindOf(schema.propertyNames) : "name";
    return `object: ${names} → ${kindOf(schema.additionalProperties ?? {})}`;
  }
  return schema.format ?? schema.type ?? "anything";
}

// The fields that are required, with nothing in them that could pass for an answer.
function blank(given) {
  const schema = resolved(given);
  if (schema.examples) return schema.examples[0];
  if (schema.enum) return schema.enum[0];
  if (schema.type === "object") {
    return Object.fromEntries((schema.required ?? []).map((name) => [name, blank(schema.properties[name])]));
  }
  return { array: [], integer: schema.minimum ?? 0, number: 0, boolean: false }[schema.type] ?? "";
}

function line(name, schema, required, description) {
  const notes = [required ? "required" : "", kindOf(schema), description ?? ""].filter(Boolean).join(" · ");
  return [element("code", { textContent: name }), " ", element("span", { className: "note", textContent: notes })];
}

// What a form asks for besides the body: JSON says it all itself, and the query goes with other bodies.
function parametersOf(operation) {
  const json = operation.requestBody?.content?.["application/json"];
  return (operation.parameters ?? []).filter((each) => !json || each.in !== "query");
}

function bodyParts(operation) {
  const given = operation.requestBody?.content?.["application/json"]?.schema;
  if (!given) return [];
  const schema = resolved(given);
  const fields = Object.entries(schema.properties ?? {}).map(([name, part]) =>
    element("li", {}, ...line(name, part, schema.required?.includes(name), part.description)));
  const text = JSON.stringify(blank(given), null, 2);
  return [element("label", {}, "body", element("textarea", { name: "body", value: text })),
    element("ul", { className: "fields" }, ...fields)];
}

function requestOf(method, path, operation, form, signal) {
  const query = new URLSearchParams();
  const headers = {};
  let target = path;
  for (const parameter of parametersOf(operation)) {
    const value = form.elements[parameter.name].value;
    if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(value));
    else if (value !== "" && parameter.in === "query") query.set(parameter.name, value);
    else if (value !== "" && parameter.in === "header") headers[parameter.name] = value;
  }
  const key = document.getElementById("key").value;
  if (key) headers["X-API-Key"] = key;
  const request = { method, headers, signal };
  if (form.elements.body) {
    headers["Content-Type"] = "application/json";
    request.body = form.elements.body.value;
  }
  return [query.size ? `${target}?${query}` : target, request];
}

// An answer is read piece by piece, for a stream of events has no end; the oldest pieces go.
async function read(response, answer) {
  const head = `${response.status} ${response.statusText}\n\n`;
  const endless = (response.headers.get("Content-Type") ?? "").startsWith("text/event-stream");
  answer.textContent = head;
  let text = "";
  for (const reader = response.body.pipeThrough(new TextDecoderStream()).getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (!endless) text += value;
    answer.append(value);
    if (answer.childNodes.length > MOST_PIECES) answer.childNodes[1].remove();
  }
  try {
    answer.textContent = head + JSON.stringify(JSON.parse(text), null, 2);
  } catch { /* not JSON: shown as it came */ }
}

async function send(target, request, answer) {
  answer.textContent = "…";
  try {
    await read(await fetch(target, request), answer);
  } catch (error) {
    if (request.signal.reason === SENT_AGAIN) return;
    if (request.signal.aborted) answer.append("\n\nStopped.");
    else answer.append(`\n\nNo answer: ${error.message}`);
  }
}

function panel(method, path, operation) {
  const answer = element("pre", { hidden: true });
  const stop = element("button", { type: "button", textContent: "Stop", hidden: true });
  const form = element("form");
  for (const parameter of parametersOf(operation)) {
    form.append(element("label", {},
      ...line(parameter.name, parameter.schema ?? {}, parameter.required, parameter.description),
      element("input", { name: parameter.name, required: Boolean(parameter.required) })));
  }
  form.append(...bodyParts(operation), element("button", { textContent: "Send" }), " ", stop);
  let current = new AbortController();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    current.abort(SENT_AGAIN);
    const own = current = new AbortController();
    answer.hidden = stop.hidden = false;
    await send(...requestOf(method.toUpperCase(), path, operation, form, own.signal), answer);
    if (own === current) stop.hidden = true;
  });
  stop.addEventListener("click", () => current.abort());
  const made = element("details", {},
    element("summary", {},
      element("span", { className: `method ${method}`, textContent: method.toUpperCase() }),
      element("code", { textContent: path }),
      element("span", { textContent: operation.summary ?? "" }),
      element("span", { className: "role", textContent: operation["x-role"] ? `role: ${operation["x-role"]}` : "no key needed" })),
    element("p", { className: "note", textContent: operation.description ?? "" }), form, answer);
  // Nobody looks at it any more, and a browser has few connections to an address.
  made.addEventListener("toggle", () => { if (!made.open) current.abort(); });
  return made;
}

async function start() {
  const place = document.getElementById("endpoints");
  try {
    const document_ = await (await fetch("/openapi.json")).json();
    schemas = document_.components.schemas;
    place.replaceChildren(...Object.entries(document_.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => panel(method, path, operation))));
  } catch (error) {
    place.textContent = `The interface could not be loaded: ${error.message}`;
  }
}

void start();
