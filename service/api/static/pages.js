// Starts Swagger UI or ReDoc, whichever the page has loaded. A file of its own, so that the
// content security policy can refuse every script inside a page.

const address = document.querySelector("link[rel=service-desc]").href;
const key = { value: "" };

function addKey(request) {
  if (key.value) request.headers["X-API-Key"] = key.value;
  return request;
}

async function fetchDescription() {
  let answer = await fetch(address);
  if (answer.status === 401) {
    key.value = window.prompt("This service needs an API key:") ?? "";
    answer = await fetch(address, addKey({ headers: {} }));
  }
  const description = await answer.json();
  if (!answer.ok) throw new Error(description.detail);
  const root = new URL(".", address).pathname;
  if (root !== "/") description.servers ??= [{ url: root.slice(0, -1) }]; // behind a prefix
  return description;
}

function show(description) {
  const page = document.getElementById("page");
  if (window.Redoc) {
    window.Redoc.init(description, {}, page);
    return;
  }
  window.SwaggerUIBundle({
    spec: description,
    domNode: page,
    deepLinking: true,
    requestInterceptor: addKey,
    presets: [
      window.SwaggerUIBundle.presets.apis,
      window.SwaggerUIBundle.SwaggerUIStandalonePreset,
    ],
  });
}

fetchDescription().then(show, (error) => {
  document.getElementById("page").textContent = error.message;
});
