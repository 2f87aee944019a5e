// HTTP CONNECT (RFC 9110 9.3.6) with Basic proxy login (RFC 7617): the request's parser and the replies. Pure.
import { headEnd, headLines } from '../model/http-head.ts';
import { checkedName, type CheckLogin, type Outcome, type Parsed, type Stage } from './socks.ts';

/** A request line with its headers may have so many bytes. */
const headLimit = 16 * 1024;

const statuses: Readonly<Record<Outcome, string>> = {
  ok: '200 Connection established',
  failed: '502 Bad Gateway',
  refused: '502 Connection refused',
  unreachable: '502 Host unreachable',
  prohibited: '403 Forbidden',
  timeout: '504 Gateway Timeout',
};

export function httpReply(outcome: Outcome): Buffer {
  if (outcome === 'ok') return Buffer.from(`HTTP/1.1 ${statuses.ok}\r\n\r\n`);
  return answer(statuses[outcome]);
}

function answer(status: string, header = ''): Buffer {
  return Buffer.from(`HTTP/1.1 ${status}\r\n${header}Connection: close\r\nContent-Length: 0\r\n\r\n`);
}

/** Takes the whole head, up to the empty line. */
export function httpConnect(login: CheckLogin): Stage {
  return (bytes) => {
    const end = headEnd(bytes.subarray(0, headLimit));
    if (end === null) {
      if (bytes.length < headLimit) return { kind: 'more' };
      return refuse('431 Request Header Fields Too Large', 'a request without end');
    }
    const [requestLine = '', ...headers] = headLines(bytes.subarray(0, end));
    const match = /^([A-Z]{1,20}) (\S{1,512}) HTTP\/1\.[01]$/.exec(requestLine);
    if (match === null) return refuse('400 Bad Request', 'not a SOCKS or HTTP request');
    if (match[1] !== 'CONNECT')
      return refuse('405 Method Not Allowed', 'only CONNECT is possible', 'Allow: CONNECT\r\n');
    if (login !== null && !loggedIn(headers, login))
      return refuse(
        '407 Proxy Authentication Required',
        'wrong user or password',
        'Proxy-Authenticate: Basic realm="tunnel"\r\n',
      );
    return requestFor(match[2] ?? '', end);
  };
}

function requestFor(authority: string, used: number): Parsed {
  const match = /^(\[[^\]]+\]|[^:[\]]+):(\d{1,5})$/.exec(authority);
  const host = checkedName(Buffer.from(match?.[1] ?? '', 'latin1'));
  const port = Number(match?.[2] ?? 0);
  if (host === null || port < 1 || port > 65_535)
    return refuse('400 Bad Request', 'an address that cannot be');
  return { kind: 'request', used, protocol: 'http', target: { kind: 'tcp', host, port } };
}

function loggedIn(headers: readonly string[], login: (user: string, password: string) => boolean): boolean {
  const header = headers.find((line) => /^proxy-authorization:/i.test(line)) ?? '';
  const [scheme = '', token = ''] = header
    .slice(header.indexOf(':') + 1)
    .trim()
    .split(/\s+/);
  if (scheme.toLowerCase() !== 'basic') return false;
  const words = Buffer.from(token, 'base64').toString('utf8');
  const colon = words.indexOf(':');
  return colon !== -1 && login(words.slice(0, colon), words.slice(colon + 1));
}

function refuse(status: string, why: string, header = ''): Parsed {
  return { kind: 'refused', reply: answer(status, header), why };
}
