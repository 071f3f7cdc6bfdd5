// Requests to the server of the page. An error of the server is thrown with its sentence.

export class ServerError extends Error {
  constructor(message, status, body) {
    super(message);
    this.status = status;
    this.body = body;
  }
}

async function answer(response) {
  const isJson = (response.headers.get("content-type") || "").includes("json");
  const body = isJson ? await response.json() : await response.text();
  if (!response.ok) throw new ServerError(isJson ? body.error || response.statusText : body, response.status, body);
  return body;
}

export async function get(path, values = {}, signal = undefined) {
  const query = new URLSearchParams(values).toString();
  return answer(await fetch(query ? `${path}?${query}` : path, { signal }));
}

export async function post(path, body = {}) {
  const options = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  return answer(await fetch(path, options));
}
