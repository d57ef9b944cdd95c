window.ui = SwaggerUIBundle({
  url: "/api-spec.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
});
