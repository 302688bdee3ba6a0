// Makes the Postman collection of the API with Postman's own converter: openapi.json on standard input, the collection on standard
// output. $CONVERTER is the folder of the npm package openapi-to-postmanv2.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { convert } = createRequire(import.meta.url)(process.env.CONVERTER);
const options = {
    folderStrategy: "Tags",
    requestParametersResolution: "Example",
    exampleParametersResolution: "Example",
    alwaysInheritAuthentication: true,
    includeAuthInfoInExample: false,
};
const collection = await new Promise((resolve, reject) => {
    convert({ type: "string", data: readFileSync(0, "utf8") }, options, (error, made) => {
        if (error || !made.result) reject(error ?? new Error(made.reason));
        else resolve(made.output[0].data);
    });
});

// The converter makes up ids, optional values and hundreds of example responses. Without them the collection is the same each time.
delete collection.info._postman_id;
const optional = ({ key, ...rest }) => {
    const values = { after: "", "Idempotency-Key": "{{$guid}}" };
    return { key, ...rest, value: values[key] ?? rest.value, disabled: true };
};
const FIXED = ["Accept", "Content-Type"];
const tidy = ({ id: _, event: __, protocolProfileBehavior: ___, ...item }) => {
    if (item.item) return { ...item, item: item.item.map(tidy) };
    const { request } = item;
    request.url.query = request.url.query?.map(optional);
    request.header = request.header?.map((header) => (FIXED.includes(header.key) ? header : optional(header)));
    return { ...item, request, response: [] };
};
collection.item = collection.item.map(tidy);
delete collection.event;
collection.variable = [
    { key: "baseUrl", value: "http://127.0.0.1:8080", type: "string" },
    { key: "bearerToken", value: "", type: "string", description: "The token of an API key. Use a test key: a live key changes live data." },
];
process.stdout.write(`${JSON.stringify(collection, null, 1)}\n`);
