// `proxy:` as the config writes it: socks5://[user@]host:port or http://…, or a map with the source of its password. Pure.
import { port, storeSecret, text, wrong, type Parsed } from './value.ts';
import type { Proxy } from '../model/host.ts';
import { secretSource } from './secret-source.ts';

const forms = 'must be socks5://HOST:PORT or http://HOST:PORT';

/** A text, or `{ url, password: SOURCE }`. A password in the URL is refused, and not repeated. */
export function proxy(value: unknown): Parsed<Proxy> {
  if (typeof value !== 'object' || value === null) return proxyUrl(value);
  const { url, password, ...rest } = value as Record<string, unknown>;
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined || url === undefined) return wrong(`${forms}, or a map of url and password`);
  const read = proxyUrl(url);
  if ('problem' in read || password === undefined) return read;
  const source = secretSource(password);
  if ('problem' in source) return { ...source, problem: `has a password that ${source.problem}` };
  if (read.value.user === null) return wrong('has a password but no user: write socks5://USER@HOST:PORT');
  return { value: { ...read.value, password: source.value } };
}

function proxyUrl(value: unknown): Parsed<Proxy> {
  const read = text(value);
  if ('problem' in read) return wrong(forms);
  const match = /^(socks5h?|http):\/\/(?:([^/]*)@)?(\[[0-9A-Fa-f:.]+\]|[^\s:/@[\]]+):(\d+)\/?$/i.exec(
    read.value,
  );
  if (match === null) return wrong(forms);
  const [, scheme = '', login, host = '', written = ''] = match;
  if (login?.includes(':') === true)
    return wrong(
      'must not hold a password: write { url: socks5://USER@HOST:PORT, password: keychain }',
      storeSecret,
    );
  const number = port(written);
  if ('problem' in number) return wrong(`has a port that ${number.problem}`);
  const user = login === undefined || login === '' ? null : decode(login);
  if (user === undefined) return wrong('has a user that is not percent-encoded as a URL needs it');
  return {
    value: {
      scheme: scheme.toLowerCase() === 'http' ? 'http' : 'socks5',
      host: host.replace(/^\[|\]$/g, ''),
      port: number.value,
      user,
      password: null,
    },
  };
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
