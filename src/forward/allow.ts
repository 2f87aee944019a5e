// Allow-lists: HOST:PORT globs that say which targets a SOCKS server may reach. Pure.
import type { TcpEndpoint } from '../model/endpoint.ts';

/** True when one of the globs matches the target as it was asked for; names are compared without case. */
export function allows(globs: readonly string[], target: TcpEndpoint): boolean {
  const host = plainHost(target.host);
  return globs.some((glob) => {
    const { host: hostGlob, port: portGlob } = splitGlob(glob);
    return matches(plainHost(hostGlob), host) && matches(portGlob, String(target.port));
  });
}

/** A glob without a port allows every port. IPv6 stands in brackets when there is one. */
function splitGlob(glob: string): { readonly host: string; readonly port: string } {
  const bracketed = /^\[(.*)\](?::(.*))?$/.exec(glob);
  if (bracketed !== null) return { host: bracketed[1] ?? '', port: bracketed[2] ?? '*' };
  const colon = glob.lastIndexOf(':');
  if (colon === -1 || glob.indexOf(':') !== colon) return { host: glob, port: '*' };
  return { host: glob.slice(0, colon), port: glob.slice(colon + 1) };
}

/** Lower case, without the final dot of an absolute name (RFC 1034 3.1). */
function plainHost(host: string): string {
  const lower = host.toLowerCase();
  return lower.length > 1 && lower.endsWith('.') ? lower.slice(0, -1) : lower;
}

/** `*` any run, `?` any one character; linear in the text for each star, never exponential. */
function matches(glob: string, text: string): boolean {
  let at = 0;
  let from = 0;
  let star = -1;
  let starText = 0;
  while (from < text.length) {
    const wanted = glob[at];
    if (wanted === '*') {
      star = at;
      starText = from;
      at += 1;
    } else if (wanted === '?' || wanted === text[from]) {
      at += 1;
      from += 1;
    } else if (star !== -1) {
      at = star + 1;
      starText += 1;
      from = starText;
    } else return false;
  }
  while (glob[at] === '*') at += 1;
  return at === glob.length;
}
