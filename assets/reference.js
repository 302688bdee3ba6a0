// Starts Swagger UI on our own description. Nothing is remembered: the token is gone when the page is.
window.SwaggerUIBundle({
    url: "/api/v1/openapi.json",
    dom_id: "#swagger-ui",
    // Deep links would put a link into each button, and colours into each example that few can read.
    deepLinking: false,
    syntaxHighlight: { activated: false },
    persistAuthorization: false,
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    tryItOutEnabled: false,
    validatorUrl: null,
});

// It leaves its lists of examples without a name; readers who can't see them need one.
new MutationObserver(() => {
    for (const list of document.querySelectorAll("#swagger-ui select:not([aria-label])")) {
        list.setAttribute("aria-label", list.closest(".examples-select") ? "Example" : "Value");
    }
}).observe(document.querySelector("#swagger-ui"), { childList: true, subtree: true });

// Swagger UI has a dark dress, but does not look at what the reader's system asks for.
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const dress = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", dress);
dress();
