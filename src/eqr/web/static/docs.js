// Draws the description of the service. The script of Swagger UI, loaded before this one, defines SwaggerUIBundle.

window.SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  validatorUrl: null, // its badge would send the description to another host
});
