"use strict";
// Reads /openapi.json and offers a form for each operation. Everything is shown as text, never as markup.

const examples = {
  ProcessLogBody: { log: "Jan 01 00:00:01 web1 kernel: Out of memory: Killed process 4242 (java)\n", mode: "safe", include_trace: true, llm_config: { strategy: "classic" } },
  StartRunBody: { agent: "sre-1", task: "look-around", objective: "check the disks", mode: "safe" },
  AnswerBody: { approve: true, comment: "" },
  RevokeBody: { reason: "" },
};

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function bodyOf(operation) {
  const schema = operation.requestBody?.content?.["application/json"]?.schema?.$ref;
  return schema ? JSON.stringify(examples[schema.split("/").pop()] ?? {}, null, 2) : null;
}

async function send(method, path, operation, form, answer) {
  const query = new URLSearchParams();
  const headers = {};
  let target = path;
  for (const parameter of operation.parameters ?? []) {
    const value = form.elements[parameter.name].value;
    if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(value));
    else if (value !== "" && parameter.in === "query") query.set(parameter.name, value);
    else if (value !== "" && parameter.in === "header") headers[parameter.name] = value;
  }
  const key = document.getElementById("key").value;
  if (key) headers["X-API-Key"] = key;
  const request = { method, headers };
  if (form.elements.body) {
    headers["Content-Type"] = "application/json";
    request.body = form.elements.body.value;
  }
  answer.textContent = "…";
  try {
    const response = await fetch(query.size ? `${target}?${query}` : target, request);
    const text = await response.text();
    let shown = text;
    try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: shown as it came */ }
    answer.textContent = `${response.status} ${response.statusText}\n\n${shown}`;
  } catch (error) {
    answer.textContent = `No answer: ${error.message}`;
  }
}

function panel(method, path, operation) {
  const answer = element("pre", { hidden: true });
  const form = element("form");
  for (const parameter of operation.parameters ?? []) {
    const needed = parameter.required ? " (required)" : "";
    form.append(element("label", {}, `${parameter.name}${needed} `,
      element("span", { className: "note", textContent: parameter.description ?? "" }),
      element("input", { name: parameter.name, required: Boolean(parameter.required) })));
  }
  const body = bodyOf(operation);
  if (body !== null) form.append(element("label", {}, "body", element("textarea", { name: "body", value: body })));
  form.append(element("button", { textContent: "Send" }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    answer.hidden = false;
    void send(method.toUpperCase(), path, operation, form, answer);
  });
  return element("details", {},
    element("summary", {},
      element("span", { className: `method ${method}`, textContent: method.toUpperCase() }),
      element("code", { textContent: path }),
      element("span", { textContent: operation.summary ?? "" }),
      element("span", { className: "role", textContent: operation["x-role"] ? `role: ${operation["x-role"]}` : "no key needed" })),
    element("p", { className: "note", textContent: operation.description ?? "" }), form, answer);
}

async function start() {
  const place = document.getElementById("endpoints");
  try {
    const schema = await (await fetch("/openapi.json")).json();
    place.replaceChildren(...Object.entries(schema.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => panel(method, path, operation))));
  } catch (error) {
    place.textContent = `The interface could not be loaded: ${error.message}`;
  }
}

void start();
