// Requests as the supervisor believes them: checked with zod before a handler sees them. Never imported by the client.
import * as z from 'zod';
import { TunnelError } from '../errors.ts';
import type { Method, Methods, Request } from './protocol.ts';

const selectors = z.array(z.string().max(1024)).max(10_000);
/** setTimeout takes 2^31-1 ms at most; a longer wait is the same as for ever. */
const duration = z
  .number()
  .nonnegative()
  .transform((ms) => Math.min(ms, 2 ** 31 - 1));
const environment = z.object({
  variables: z.record(z.string(), z.string()),
  agentSockets: z.array(z.string()).max(64),
});
const up = z.object({
  selectors,
  timeoutMs: duration,
  interactive: z.boolean(),
  acceptNew: z.boolean(),
  environment,
  remap: z.boolean(),
  lease: z.object({ once: z.boolean(), probes: z.boolean().optional() }).optional(),
});

/** Keys that we do not know are dropped, not refused: within a protocol version keys may be added. */
const schemas = {
  hello: z.object({
    protocol: z.number().int(),
    version: z.string().max(256),
    token: z.string().max(256).optional(),
  }),
  status: z.object({ selectors }),
  watch: z.object({ selectors }),
  up,
  wait: z.object({ selectors, timeoutMs: duration }),
  down: z.object({ selectors, drainMs: duration }),
  leased: z.object({}),
  release: z.object({}),
  restart: up,
  reload: z.object({ prune: z.boolean() }),
  answer: z.object({ question: z.string().max(256), value: z.string().nullable() }),
  recheck: z.object({ hosts: z.array(z.string().max(1024)).max(10_000) }),
  why: z.object({ name: z.string().max(1024) }),
  flows: z.object({ selectors, most: z.number().int().min(0).max(10_000) }),
  ports: z.object({ name: z.string().max(1024) }),
  'hand-over': z.object({
    program: z.array(z.string().max(4096)).min(2).max(64),
    protocol: z.number().int(),
    byPerson: z.boolean(),
    token: z.string().max(256).optional(),
  }),
  shutdown: z.object({}),
} satisfies { [M in Method]: z.ZodType<Methods[M]['params']> };

const envelope = z.object({
  id: z.number().int().nonnegative(),
  method: z.string().max(64),
  params: z.unknown(),
});

/** The id of whatever came, so that an error can be answered; null when it has none. */
export function requestId(message: unknown): number | null {
  const parsed = z.object({ id: z.number().int().nonnegative() }).safeParse(message);
  return parsed.success ? parsed.data.id : null;
}

/** Throws DAEMON_MISMATCH naming the field that is wrong, never its value (it may be an answer to a question). */
export function parseRequest(message: unknown): Request {
  const outer = envelope.safeParse(message);
  if (!outer.success) throw mismatch('a request', outer.error);
  const { id, method, params } = outer.data;
  if (!Object.hasOwn(schemas, method)) {
    throw new TunnelError('DAEMON_MISMATCH', `request failed, on ${JSON.stringify(method)}: no such method`);
  }
  const inner = schemas[method as Method].safeParse(params);
  if (!inner.success) throw mismatch(method, inner.error);
  return { id, method, params: inner.data } as Request;
}

function mismatch(where: string, error: z.ZodError): TunnelError {
  const issue = error.issues[0];
  const path = issue === undefined || issue.path.length === 0 ? 'it' : issue.path.map(String).join('.');
  return new TunnelError(
    'DAEMON_MISMATCH',
    `request failed, on ${where}: ${path} is not as the protocol says`,
  );
}
