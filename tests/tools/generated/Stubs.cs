// What the generated C# code names and Debian does not have.

// Polly: the code calls it only if the program sets a retry policy.
namespace Polly
{
    using System;
    using System.Threading.Tasks;

    public enum OutcomeType { Successful, Failure }

    public class PolicyResult<T>
    {
        public OutcomeType Outcome;
        public T Result;
        public Exception FinalException;
    }

    public interface ISyncPolicy<T> { }

    public interface IAsyncPolicy<T>
    {
        Task<PolicyResult<T>> ExecuteAndCaptureAsync(Func<Task<T>> action);
    }
}

// The naming strategies of Newtonsoft.Json 9. They name properties without a name, and every generated property has one.
namespace Org.OpenAPITools
{
    public class CamelCaseNamingStrategy
    {
        public bool OverrideSpecifiedNames;
    }

    public class DefaultContractResolver : Newtonsoft.Json.Serialization.DefaultContractResolver
    {
        public CamelCaseNamingStrategy NamingStrategy;
    }
}
