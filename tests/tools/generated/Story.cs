// A product's life, by the C# client (library `httpclient`, Newtonsoft.Json) that openapi-generator makes of openapi.json.

using System;
using System.Linq;
using System.Net;
using Newtonsoft.Json;
using Newtonsoft.Json.Linq;
using Org.OpenAPITools.Api;
using Org.OpenAPITools.Client;
using Org.OpenAPITools.Model;

static class Story
{
    static JsonSerializerSettings settings;

    static void Check(bool ok, object what)
    {
        if (!ok)
        {
            throw new Exception(what.ToString());
        }
    }

    static T Parse<T>(string json)
    {
        return JsonConvert.DeserializeObject<T>(json, settings);
    }

    /// The error code of the answer to a call that is refused.
    static string Refusal(int status, Func<object> call)
    {
        object answer;
        try
        {
            answer = call();
        }
        catch (ApiException error)
        {
            Check(error.ErrorCode == status, error);
            return Parse<Error>((string)error.ErrorContent).VarError.Code;
        }
        throw new Exception("no error but " + answer);
    }

    static void Main(string[] arguments)
    {
        settings = new ApiClient(arguments[0]).SerializerSettings;
        var api = new ProductsApi(new Configuration
        {
            BasePath = arguments[0],
            AccessToken = Environment.GetEnvironmentVariable("TOKEN"),
        });

        foreach (var price in new[] { 1234567.89, 1234.5678, 49999.9999, 999999999.9999, 0.0001 })
        {
            // Of what the constructor takes the client sends only optional properties; it sends every property that is assigned.
            var body = new ProductCreation("Hail pad") { Name = "Hail pad", UnitPrice = price, Currency = Currency.EUR, TaxRate = 8.1 };
            var id = api.CreateProduct(body).Data.Id;
            var read = api.GetProduct(id).Data;
            Check(read.UnitPrice == price, price + " became " + read.UnitPrice);
            Check(read.TaxRate == 8.1 && read.Sku == null && read.Currency == "EUR", read);
            var changed = api.UpdateProduct(id, new ProductChange { Description = "changed", UnitPrice = 0 }).Data;
            Check(changed.Description == "changed" && changed.UnitPrice == 0 && changed.TaxRate == 8.1, changed);
            var cleared = api.UpdateProductWithHttpInfo(id, new ProductChange { TaxRate = null });
            Check(cleared.Data.Data.TaxRate == null && cleared.Data.Data.Description == "changed", cleared.RawContent);
            var tag = cleared.Headers["ETag"].Single();
            Check(api.GetProductWithHttpInfo(id, tag).StatusCode == HttpStatusCode.NotModified, tag);
            Check(Refusal(412, () => api.UpdateProduct(id, new ProductChange { Name = "Other" }, "\"another\"")) == "precondition_failed", id);
            Check(api.ArchiveProduct(id, tag).Data.Status == Product.StatusEnum.Archived, id);
        }
        var page = api.ListProducts(limit: 2).Data;
        Check(page.Data.Count == 2 && page.HasMore, page);
        Check(api.ListProducts(after: page.NextCursor).Data.Data.Any(), page);
        var absent = Guid.Parse("019ab697-e800-7123-9159-e26af37bc048");
        Check(Refusal(404, () => api.GetProduct(absent)) == "product_not_found", absent);

        // What a later version may send.
        var later = "{\"error\":{\"type\":\"a_new_type\",\"code\":\"a_new_code\",\"message\":\"m\",\"request_id\":\"r\",\"hint\":\"new\"},\"more\":1}";
        Check(Parse<Error>(later).VarError.Code == "a_new_code", later);
        var product = JObject.Parse(page.Data[0].ToJson());
        product["weight"] = 3;
        product["currency"] = "XYZ";
        Check(Parse<Product>(product.ToString()).Currency == "XYZ", product);
    }
}
