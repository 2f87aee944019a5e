// ProxyJump of ssh_config: [user@]host[:port] or ssh://…, with commas between (ssh_config(5)). Pure.
import { login } from '../address.ts';

/** The hops, nearest first; null for `none`. What `ssh -G` prints reads the same. */
export function jumpHops(written: string): readonly string[] | null {
  const jump = jumpText(written);
  if (jump.toLowerCase() === 'none') return null;
  // None is left out for being odd: that would be another way than the one that was asked for.
  return jump.split(',').map((hop) => (isUri(hop) ? withoutScheme(hop) : hop));
}

/** What %j stands for: a hop without its user, port and brackets. */
export function hostOfJump(hop: string): string {
  const read = login(hop);
  return 'value' in read ? read.value.host : hop;
}

/** The text that counts: ssh ends it at the first blank or #. */
const jumpText = (written: string): string => /^[\s=]*([^\s#]*)/.exec(written)?.[1] ?? '';

const isUri = (hop: string): boolean => hop.startsWith('ssh://');

/** ssh://user@host:port/ as user@host:port. The user may be percent-encoded. */
function withoutScheme(hop: string): string {
  const plain = hop.slice('ssh://'.length).replace(/\/$/, '');
  const at = plain.lastIndexOf('@');
  if (at < 0) return plain;
  try {
    return `${decodeURIComponent(plain.slice(0, at))}${plain.slice(at)}`;
  } catch {
    return plain; // not percent-encoded after all
  }
}

/** Why ssh would refuse the line; null when it takes it. */
export function jumpProblem(written: string): string | null {
  if (jumpHops(written) === null) return null;
  const bad = jumpText(written)
    .split(',')
    .find((hop) => !isHop(isUri(hop) ? withoutScheme(hop) : hop));
  return bad === undefined ? null : `ProxyJump must be [user@]host[:port], not "${bad}"`;
}

function isHop(hop: string): boolean {
  const match = /^(?:.+@)?(?:\[[^\]]+\]|[^[\]:@/]+)(?::(\d+))?$/.exec(hop);
  const port = match?.[1];
  return match !== null && (port === undefined || (Number(port) > 0 && Number(port) <= 65_535));
}
