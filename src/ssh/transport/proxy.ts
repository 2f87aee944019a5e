// Proxies: SOCKS5 (RFC 1928, RFC 1929) and HTTP CONNECT (RFC 9110 9.3.6), asked to connect us to the server by its name.
import { isIPv4, isIPv6, type Socket } from 'node:net';
import { TunnelError } from '../../errors.ts';
import { cleanQuote } from '../../model/clean.ts';
import type { Clock } from '../../model/clock.ts';
import { formatHostPort } from '../../model/endpoint.ts';
import { onAbort } from '../../model/give-up.ts';
import { headEnd, headLines } from '../../model/http-head.ts';
import { formatAddress, formatHop, type Host } from '../../model/host.ts';
import { formatSecretRef } from '../../model/secret.ts';
import { connectFailed, wordsOf } from '../failure.ts';

export interface ProxyLogin {
  readonly user: string | null;
  readonly password: string | null;
}

/** Asks the proxy at the other end of `socket` for the host. Nothing that follows its answer is lost. */
export async function passProxy(
  socket: Socket,
  host: Host,
  login: ProxyLogin,
  limits: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  const { proxy } = host;
  if (proxy === null) return;
  limits.signal.throwIfAborted();
  const where = `proxy ${formatHostPort(proxy.host, proxy.port)}`;
  const talk = new Talk(socket);
  const cancelAbort = onAbort(limits.signal, () => talk.fail(limits.signal.reason as Error));
  const cancel = limits.clock.schedule(host.connectTimeoutMs, () =>
    talk.fail(
      connectFailed(host, 'tcp', `${where} gave no answer in ${host.connectTimeoutMs / 1000}s`, {
        timedOut: true,
      }),
    ),
  );
  try {
    if (proxy.scheme === 'socks5') await passSocks(talk, host, login, where);
    else await passHttp(talk, host, login, where);
  } catch (thrown) {
    if (thrown instanceof TunnelError || limits.signal.aborted) throw thrown;
    throw connectFailed(host, 'tcp', `${where}: ${wordsOf(thrown)}`, { timedOut: false, tcpLevel: false });
  } finally {
    cancel();
    cancelAbort();
    talk.end();
  }
}

/** Reads a socket by pieces of known size; what is left over goes back into it. */
class Talk {
  readonly #socket: Socket;
  #buffer = Buffer.alloc(0);
  #failure: Error | null = null;
  #wake: () => void = () => undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', this.#more).on('error', this.fail).on('end', this.#closed).on('close', this.#closed);
  }

  readonly fail = (error: Error): void => {
    this.#failure ??= error;
    this.#wake();
  };

  readonly #more = (chunk: Buffer): void => {
    this.#buffer = Buffer.concat([this.#buffer, chunk]);
    this.#wake();
  };

  readonly #closed = (): void => this.fail(new Error('it closed the connection'));

  send(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  /** Exactly that many bytes. */
  read(length: number): Promise<Buffer> {
    return this.#take(() => length);
  }

  /** The head of an HTTP message, at most `limit` bytes, in lines. */
  async readHead(limit: number): Promise<string[]> {
    const head = await this.#take(() => {
      const end = headEnd(this.#buffer);
      if ((end ?? this.#buffer.length) > limit) throw new Error('its answer is too long');
      return end ?? 0;
    });
    return headLines(head);
  }

  /** Gives back what was read too far. */
  end(): void {
    const socket = this.#socket;
    socket.pause();
    socket.off('data', this.#more).off('end', this.#closed).off('close', this.#closed);
    // the error listener stays: a socket without one ends the process
    if (this.#buffer.length > 0) socket.unshift(this.#buffer);
  }

  async #take(ready: () => number): Promise<Buffer> {
    for (;;) {
      const length = ready();
      if (length > 0 && this.#buffer.length >= length) {
        const taken = this.#buffer.subarray(0, length);
        this.#buffer = this.#buffer.subarray(length);
        return taken;
      }
      if (this.#failure !== null) throw this.#failure;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

/** RFC 1928 6: what the reply field says. */
const socksReplies: Readonly<Record<number, string>> = {
  1: 'general failure',
  2: 'not allowed by its rules',
  3: 'network unreachable',
  4: 'host unreachable',
  5: 'connection refused',
  6: 'time to live expired',
  7: 'command not supported',
  8: 'address type not supported',
};

async function passSocks(talk: Talk, host: Host, login: ProxyLogin, where: string): Promise<void> {
  const withPassword = login.user !== null;
  talk.send(Buffer.from(withPassword ? [5, 2, 0, 2] : [5, 1, 0]));
  const [version, method] = await talk.read(2);
  if (version !== 5) throw new Error('it does not speak SOCKS5');
  if (method === 2 && withPassword) await authenticateSocks(talk, host, login, where);
  else if (method !== 0) throw refusedLogin(host, where, 'it asks for a login that we do not have');
  talk.send(Buffer.concat([Buffer.from([5, 1, 0]), socksAddress(host.hostname), portBytes(host.port)]));
  const reply = await talk.read(4);
  if (reply[0] !== 5) throw new Error('it does not speak SOCKS5');
  const code = reply[1] ?? 1;
  if (code !== 0) {
    const words = socksReplies[code] ?? `reply ${code}`;
    throw connectFailed(host, 'tcp', `${where} answers: ${words}`, { timedOut: false, tcpLevel: false });
  }
  const kind = reply[3];
  const length = kind === 1 ? 4 : kind === 4 ? 16 : ((await talk.read(1))[0] ?? 0);
  await talk.read(length + 2);
}

/** RFC 1929. */
async function authenticateSocks(talk: Talk, host: Host, login: ProxyLogin, where: string): Promise<void> {
  const user = Buffer.from(login.user ?? '');
  const password = Buffer.from(login.password ?? '');
  if (user.length > 255 || password.length > 255)
    throw refusedLogin(host, where, 'a user or password of more than 255 bytes does not fit into SOCKS5');
  talk.send(Buffer.concat([Buffer.from([1, user.length]), user, Buffer.from([password.length]), password]));
  const status = (await talk.read(2))[1];
  if (status !== 0) throw refusedLogin(host, where, 'it does not accept the user and password');
}

function socksAddress(name: string): Buffer {
  if (isIPv4(name)) return Buffer.from([1, ...name.split('.').map(Number)]);
  if (isIPv6(name)) return Buffer.concat([Buffer.from([4]), ipv6Bytes(name)]);
  const bytes = Buffer.from(name);
  return Buffer.concat([Buffer.from([3, bytes.length]), bytes]);
}

function ipv6Bytes(address: string): Buffer {
  const plain = (address.split('%')[0] ?? address).replace(/\d+\.\d+\.\d+\.\d+$/, (dotted) => {
    const [a = 0, b = 0, c = 0, d = 0] = dotted.split('.').map(Number);
    return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  });
  const [head = '', tail] = plain.split('::');
  const words = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const front = words(head);
  const back = tail === undefined ? [] : words(tail);
  const zeros = Array<string>(8 - front.length - back.length).fill('0');
  const bytes = Buffer.alloc(16);
  [...front, ...zeros, ...back].forEach((word, index) =>
    bytes.writeUInt16BE(Number.parseInt(word, 16), index * 2),
  );
  return bytes;
}

function portBytes(port: number): Buffer {
  return Buffer.from([port >> 8, port & 0xff]);
}

function refusedLogin(host: Host, where: string, why: string): TunnelError {
  return new TunnelError('AUTH_REFUSED', `${where} failed, on the way to ${formatHop(host)}: ${why}`, {
    hint: proxyLoginHint(host),
    facts: { layer: 'tcp', tcpLevel: false, proxy: true },
  });
}

/** What to write in the config: a user where there is none, a source for the password where that is what is missing. */
function proxyLoginHint({ name, proxy }: Host): string | null {
  if (proxy === null) return null;
  const url = `${proxy.scheme}://${encodeURIComponent(proxy.user ?? 'USER')}@${formatAddress({ hostname: proxy.host, port: proxy.port })}`;
  if (proxy.password !== null)
    return `proxy: ${url}    # under host ${name}: is the user right, and what ${formatSecretRef(proxy.password)} holds?`;
  return `proxy: { url: '${url}', password: prompt }    # under host ${name}; or keychain, env:NAME, file:PATH`;
}

/** Response heads longer than this are not from a proxy. */
const largestHead = 16 * 1024;

async function passHttp(talk: Talk, host: Host, login: ProxyLogin, where: string): Promise<void> {
  const target = formatAddress(host);
  const basic = Buffer.from(`${login.user ?? ''}:${login.password ?? ''}`).toString('base64');
  const lines = [
    `CONNECT ${target} HTTP/1.1`,
    `Host: ${target}`,
    ...(login.user === null ? [] : [`Proxy-Authorization: Basic ${basic}`]),
  ];
  talk.send(Buffer.from(`${lines.join('\r\n')}\r\n\r\n`));
  const { code, words } = await finalStatus(talk);
  if (code >= 200 && code < 300) return;
  const said = cleanQuote(`${code} ${words}`);
  if (code === 407) throw refusedLogin(host, where, `it answers ${said}`);
  throw connectFailed(host, 'tcp', `${where} answers: ${said}`, { timedOut: false, tcpLevel: false });
}

/** Answers that only say that another one follows (RFC 9110 15.2) are read over, a few of them. */
async function finalStatus(talk: Talk): Promise<{ code: number; words: string }> {
  for (let heads = 0; heads < 10; heads += 1) {
    const [line = ''] = await talk.readHead(largestHead);
    const status = /^HTTP\/1\.[01] (\d{3})(?: (.*))?$/.exec(line);
    if (status === null) break;
    const code = Number(status[1]);
    if (code >= 200) return { code, words: status[2] ?? '' };
  }
  throw new Error('it does not answer as an HTTP proxy');
}
