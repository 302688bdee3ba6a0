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

    public static void main(String[] arguments) throws Exception {
        ApiClient client = new ApiClient();
        client.updateBaseUri(arguments[0]);
        client.setRequestInterceptor(request -> request.header("Authorization", "Bearer " + System.getenv("TOKEN")));
        ProductsApi api = new ProductsApi(client);

        for (double price : new double[] {1234567.89, 1234.5678, 49999.9999, 999999999.9999, 0.0001}) {
            ProductCreation body = new ProductCreation().name("Hail pad").unitPrice(price).currency(Currency.EUR).taxRate(8.1);
            UUID id = api.createProduct(body, null).getData().getId();
            Product read = api.getProduct(id).getData();
            check(read.getUnitPrice() == price, price + " became " + read.getUnitPrice());
            check(read.getTaxRate() == 8.1 && read.getSku() == null, read);
            check(api.updateProduct(id, new ProductChange().description("changed"), null).getData().getDescription().equals("changed"), id);
            check(api.archiveProduct(id).getData().getStatus() == Product.StatusEnum.ARCHIVED, id);
        }
        var page = api.listProducts(null, 2, null).getData();
        check(page.getData().size() == 2 && page.getHasMore(), page);
        check(!api.listProducts(null, null, page.getNextCursor()).getData().getData().isEmpty(), page);

        ObjectMapper mapper = client.getObjectMapper();
        try {
            api.getProduct(UUID.fromString("019ab697-e800-7123-9159-e26af37bc048"));
            check(false, "no error for an absent product");
        } catch (ApiException error) {
            var body = mapper.readValue(error.getResponseBody(), org.openapitools.client.model.Error.class);
            check(body.getError().getCode().equals("product_not_found"), body);
        }

        // What a later version may send.
        String later = "{\"error\":{\"type\":\"a_new_type\",\"code\":\"a_new_code\",\"message\":\"m\",\"request_id\":\"r\",\"hint\":\"new\"},\"more\":1}";
        var failure = mapper.readValue(later, org.openapitools.client.model.Error.class);
        check(failure.getError().getCode().equals("a_new_code"), failure);
        ObjectNode product = mapper.valueToTree(page.getData().get(0));
        product.put("weight", 3).put("currency", "XYZ");
        check(mapper.treeToValue(product, Product.class).getCurrency().equals("XYZ"), product);
    }
}
