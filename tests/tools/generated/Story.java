// A product's life, by the Java client (library `native`, Jackson) that openapi-generator makes of openapi.json.

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.UUID;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.ProductsApi;
import org.openapitools.client.model.Currency;
import org.openapitools.client.model.ProductCreation;
import org.openapitools.client.model.Product;
import org.openapitools.client.model.ProductChange;

public class Story {
    static void check(boolean ok, Object what) {
        if (!ok) {
            throw new AssertionError(what);
        }
    }

    interface Call {
        Object run() throws ApiException;
    }

    /** The error code of the answer to a call that is refused. */
    static String refusal(ApiClient client, int status, Call call) throws Exception {
        try {
            throw new AssertionError("no error but " + call.run());
        } catch (ApiException error) {
            check(error.getCode() == status, error);
            return client.getObjectMapper().readValue(error.getResponseBody(), org.openapitools.client.model.Error.class).getError().getCode();
        }
    }

    public static void main(String[] arguments) throws Exception {
        ApiClient client = new ApiClient();
        client.updateBaseUri(arguments[0]);
        client.setRequestInterceptor(request -> request.header("Authorization", "Bearer " + System.getenv("TOKEN")));
        ProductsApi api = new ProductsApi(client);

        for (double price : new double[] {1234567.89, 1234.5678, 49999.9999, 999999999.9999, 0.0001}) {
            ProductCreation body = new ProductCreation().name("Hail pad").unitPrice(price).currency(Currency.EUR).taxRate(8.1);
            UUID id = api.createProduct(body, null).getData().getId();
            Product read = api.getProduct(id, null).getData();
            check(read.getUnitPrice() == price, price + " became " + read.getUnitPrice());
            check(read.getTaxRate() == 8.1 && read.getSku() == null, read);
            var change = new ProductChange().description("changed");
            var changed = api.updateProductWithHttpInfo(id, change, null, null);
            Product now = changed.getData().getData();
            check(now.getDescription().equals("changed") && now.getTaxRate() == 8.1, now);
            String tag = changed.getHeaders().get("etag").get(0);
            check(refusal(client, 412, () -> api.updateProduct(id, change, "\"another\"", null)).equals("precondition_failed"), id);
            check(api.archiveProduct(id, tag).getData().getStatus() == Product.StatusEnum.ARCHIVED, id);
        }
        var page = api.listProducts(null, 2, null).getData();
        check(page.getData().size() == 2 && page.getHasMore(), page);
        check(!api.listProducts(null, null, page.getNextCursor()).getData().getData().isEmpty(), page);

        UUID absent = UUID.fromString("019ab697-e800-7123-9159-e26af37bc048");
        check(refusal(client, 404, () -> api.getProduct(absent, null)).equals("product_not_found"), absent);

        // What a later version may send.
        ObjectMapper mapper = client.getObjectMapper();
        String later = "{\"error\":{\"type\":\"a_new_type\",\"code\":\"a_new_code\",\"message\":\"m\",\"request_id\":\"r\",\"hint\":\"new\"},\"more\":1}";
        var failure = mapper.readValue(later, org.openapitools.client.model.Error.class);
        check(failure.getError().getCode().equals("a_new_code"), failure);
        ObjectNode product = mapper.valueToTree(page.getData().get(0));
        product.put("weight", 3).put("currency", "XYZ");
        check(mapper.treeToValue(product, Product.class).getCurrency().equals("XYZ"), product);
    }
}
