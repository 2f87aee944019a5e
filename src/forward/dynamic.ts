// Dynamic forwards (-D): SOCKS5, SOCKS4, 4a and HTTP CONNECT on one port; names are resolved at the far end.
import { asTunnelError, TunnelError } from '../errors.ts';
import type { Carrier, CarrierParts } from '../model/carrier.ts';
import { formatEndpoint } from '../model/endpoint.ts';
import type { DynamicForward } from '../model/forward.ts';
import type { Hold } from '../model/tunnel.ts';
import { allows } from './allow.ts';
import type { Client } from './hold.ts';
import { ListeningCarrier, openTo, type OpenRequest, type Opened } from './local.ts';
import { loginCheck, replyFor, shakeHands, type Asked } from './proxy-request.ts';
import type { CheckLogin, Outcome } from './socks.ts';

export function createDynamicCarrier(forward: DynamicForward, hold: Hold, parts: CarrierParts): Carrier {
  /** Requests of clients whose link was lost before the channel was open: such a client is not asked again. */
  const asked = new WeakMap<Client, Asked>();
  const loginOf = rememberedLogin(parts);
  return new ListeningCarrier(forward, hold, parts, {
    target: () => '*',
    open: (current) => async (request) => {
      const { client, clock, signal } = request;
      const login = await loginOf(current);
      const wish = asked.get(client) ?? (await shakeHands(client, { clock, signal, login }));
      asked.set(client, wish);
      return answer(wish, current.allow, request);
    },
    takesOver: () => true,
  });
}

/** A password is read again after this: its source may have changed, and a command may be slow. */
const rememberMs = 60_000;

/** The login check of a forward. Throws SECRET_MISSING. */
function rememberedLogin(parts: CarrierParts): (forward: DynamicForward) => Promise<CheckLogin> {
  let known: {
    readonly forward: DynamicForward;
    readonly untilMs: number;
    readonly login: CheckLogin;
  } | null = null;
  return async (forward) => {
    const nowMs = parts.clock.monotonic();
    if (known !== null && known.forward === forward && nowMs < known.untilMs) return known.login;
    const login = await readLogin(forward, parts);
    known = { forward, untilMs: nowMs + rememberMs, login };
    return login;
  };
}

async function readLogin({ socksAuth }: DynamicForward, parts: CarrierParts): Promise<CheckLogin> {
  if (socksAuth === null) return null;
  if (parts.readSecret === undefined)
    throw new TunnelError('SECRET_MISSING', 'client refused: no secret can be read here');
  const password = await parts.readSecret(socksAuth.password);
  return loginCheck(socksAuth.user, password.reveal());
}

/** Opens what was asked for; whatever goes wrong is told in the client's protocol. Throws LINK_LOST. */
async function answer(wish: Asked, allow: readonly string[], request: OpenRequest): Promise<Opened> {
  if (wish.kind === 'refused') return { kind: 'farewell', bytes: wish.reply, error: refused(wish.why) };
  const { protocol, target } = wish;
  const farewell = (outcome: Outcome, error: TunnelError): Opened => ({
    kind: 'farewell',
    bytes: replyFor(protocol, outcome),
    error,
  });
  if (allow.length > 0 && !allows(allow, target))
    return farewell('prohibited', notAllowed(formatEndpoint(target)));
  try {
    const channel = await openTo(target, request);
    return { kind: 'channel', channel, first: replyFor(protocol, 'ok') };
  } catch (thrown) {
    const error = asTunnelError(thrown);
    if (error.code === 'LINK_LOST') throw error;
    return farewell(outcomeOf(error), error);
  }
}

export function refused(why: string): TunnelError {
  return new TunnelError('FORWARD_REFUSED', `client refused: ${why}`);
}

export function notAllowed(target: string): TunnelError {
  return new TunnelError('FORWARD_REFUSED', `client refused: ${target} is not in the allow list`, {
    hint: 'add it to `allow:` of the tunnel',
  });
}

/**
 * What a SOCKS client is told of a failed open. RFC 4254 5.1 has one reason for all that the server could not
 * connect to; its words, which OpenSSH takes from the system, are all there is to tell the rest apart.
 */
export function outcomeOf(error: TunnelError): Outcome {
  if (error.code === 'TIMED_OUT') return 'timeout';
  const { reason, words } = error.facts;
  if (reason === 'prohibited') return 'prohibited';
  if (reason !== 'connect-failed') return 'failed';
  if (typeof words === 'string' && /unreachable|no route|not known|resolve/i.test(words))
    return 'unreachable';
  return typeof words === 'string' && /timed out/i.test(words) ? 'timeout' : 'refused';
}
