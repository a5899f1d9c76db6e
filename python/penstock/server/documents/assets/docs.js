// Shows this server's own document. Nothing is asked of any other host, and a key stays in the page's memory.
"use strict";

const root = document.getElementById("swagger-ui");
const nothing = () => () => null;
const withoutAuthorize = () => ({ wrapComponents: { authorizeBtn: nothing, authorizeOperationBtn: nothing } });

SwaggerUIBundle({
  domNode: root,
  url: "openapi.json",
  presets: [SwaggerUIBundle.presets.apis],
  plugins: root.dataset.hasAuthorize === "true" ? [] : [withoutAuthorize],
  layout: "BaseLayout",
  validatorUrl: null,
  persistAuthorization: false,
  queryConfigEnabled: false,
});
