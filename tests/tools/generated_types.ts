// What an integrator writes against the generated types; it has to compile in strict mode, and the marked lines not.
import type { components, paths } from "./api";

type Product = components["schemas"]["Product"];
type Page = paths["/api/v1/products"]["get"]["responses"][200]["content"]["application/json"];
type Failure = components["schemas"]["Error"];

export const least: components["schemas"]["ProductCreation"] = { name: "Vane", unitPrice: 219, currency: "EUR" };
export const cleared: components["schemas"]["ProductChange"] = { sku: null, description: null, taxRate: null };

export function total(page: Page): number {
    return page.data.data.reduce((sum: number, product: Product) => sum + product.unitPrice, 0);
}

export function next(page: Page): string | null {
    return page.data.hasMore ? page.data.nextCursor : null;
}

export function explain(failure: Failure): string {
    switch (failure.error.code) {
        case "rate_limit_exceeded":
            return "wait";
        case "sku_already_exists":
            return "choose another";
        default:
            return `${failure.error.message} (${failure.error.request_id})`;
    }
}

// @ts-expect-error a price is no text
export const wrong: components["schemas"]["ProductCreation"] = { name: "Vane", unitPrice: "219", currency: "EUR" };
// @ts-expect-error there is no such field
export const unknown: components["schemas"]["ProductChange"] = { colour: "red" };
