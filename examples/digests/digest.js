// The digest of the token in Authorization, as the map has it: for nginx's njs.
import crypto from "crypto";

function digest(request) {
    const headers = request.rawHeadersIn.filter((header) => header[0].toLowerCase() === "authorization");
    const found = headers.length === 1 && /^bearer +(\w+)$/i.exec(headers[0][1]);
    return found ? "sha256:" + crypto.createHash("sha256").update(found[1]).digest("hex") : "";
}

export default { digest };
