// Probes: is the target behind a forward really there? Asked through the tunnel, while the link is up (SPEC `probe:`).
import { Duplex } from 'node:stream';
import { asTunnelError, TunnelError } from '../errors.ts';
import type { Carrier, CarrierParts, CarrierStatus, LinkView, Listening } from '../model/carrier.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import { tcp, type Endpoint } from '../model/endpoint.ts';
import type { FlowView } from '../model/flow.ts';
import type { Forward, Probe } from '../model/forward.ts';
import type { Channel, Session } from '../model/session.ts';
import type { ProbeStatus } from '../model/status.ts';
import type { Hold } from '../model/tunnel.ts';
import { outcomeOf } from './dynamic.ts';
import { checkOf, ProbeFailed } from './probe-kinds.ts';
import { dial } from './sockets.ts';
import type { Outcome } from './socks.ts';

/** How often while the link is up; sooner while the target is not there, since somebody may wait for it. */
const everyMs = 30_000;
const failedEveryMs = 5_000;
/** A whole probe, from the open to the answer. */
const probeMs = 5_000;

/** A carrier that also probes its target, when its forward says so. */
export class ProbingCarrier implements Carrier {
  readonly #carrier: Carrier;
  readonly #parts: CarrierParts;
  #session: Session | null = null;
  #seen: ProbeStatus | null = null;
  #running: Promise<ProbeStatus | null> | null = null;
  #cancel: Cancel = () => undefined;

  constructor(carrier: Carrier, parts: CarrierParts) {
    this.#carrier = carrier;
    this.#parts = parts;
  }

  get forward(): Forward {
    return this.#carrier.forward;
  }

  open(): Promise<void> {
    return this.#carrier.open();
  }

  link(view: LinkView): void {
    this.#carrier.link(view);
    const session = view.state === 'up' ? view.session : null;
    if (session === this.#session) return;
    this.#session = session;
    this.#startOver();
  }

  accepts(forward: Forward, hold: Hold): boolean {
    return this.#carrier.accepts(forward, hold);
  }

  replace(forward: Forward, hold: Hold): void {
    this.#carrier.replace(forward, hold);
    this.#startOver();
  }

  retry(): void {
    this.#carrier.retry?.();
  }

  resetConnections(): void {
    this.#carrier.resetConnections();
  }

  status(): CarrierStatus {
    return { ...this.#carrier.status(), probe: this.#seen };
  }

  connections(most: number): readonly FlowView[] {
    return this.#carrier.connections?.(most) ?? [];
  }

  probe(): Promise<ProbeStatus | null> {
    this.#running ??= this.#look().finally(() => (this.#running = null));
    return this.#running;
  }

  listening(): Listening | null {
    return this.#carrier.listening();
  }

  letGo(): Promise<void> {
    return this.#carrier.letGo();
  }

  close(drainMs: number): Promise<void> {
    this.#session = null;
    this.#startOver();
    return this.#carrier.close(drainMs);
  }

  /** A result of another link, or of another target, says nothing. */
  #startOver(): void {
    this.#cancel();
    this.#running = null;
    const at = new Date(this.#parts.clock.now()).toISOString();
    const { probe } = this.#carrier.forward;
    this.#seen =
      this.#session === null || probe === null
        ? null
        : { ok: false, text: 'no answer yet', at, awaited: true };
    void this.probe();
  }

  async #look(): Promise<ProbeStatus | null> {
    this.#cancel();
    const session = this.#session;
    const { forward } = this.#carrier;
    if (session === null || forward.probe === null) return null;
    const { clock, events } = this.#parts;
    const found = await runProbe(forward.probe, forward, session, clock);
    if (session !== this.#session || forward !== this.#carrier.forward) return null;
    const changed = this.#seen?.ok !== found.ok || this.#seen.text !== found.text;
    this.#seen = found;
    if (changed) events.changed();
    this.#cancel = clock.schedule(found.ok ? everyMs : failedEveryMs, () => void this.probe());
    return found;
  }
}

/** One probe, now. Never rejects. */
export async function runProbe(
  probe: Probe,
  forward: Forward,
  session: Session,
  clock: Clock,
): Promise<ProbeStatus> {
  const at = new Date(clock.now()).toISOString();
  const abort = new AbortController();
  let stream: Duplex | null = null;
  let late = (): void => undefined;
  const deadline = new Promise<never>((_, reject) => {
    late = clock.schedule(probeMs, () => reject(new ProbeFailed('target does not answer')));
  });
  try {
    const text = await Promise.race([
      deadline,
      (async () => {
        const limits = { timeoutMs: probeMs, signal: abort.signal };
        const target = targetOf(probe, forward);
        stream =
          forward.type === 'remote'
            ? await dial(target, { ...limits, clock })
            : channelDuplex(await session.openChannel(target, { host: '127.0.0.1', port: 0 }, limits));
        stream.on('error', () => undefined); // the reads see the end
        if (abort.signal.aborted) stream.destroy();
        return checkOf(probe)(stream);
      })(),
    ]);
    return { ok: true, text, at };
  } catch (thrown) {
    return { ok: false, text: failureText(thrown), at };
  } finally {
    late();
    abort.abort();
    (stream as Duplex | null)?.destroy();
  }
}

/** A dynamic forward has no target of its own: an http probe names one. */
function targetOf(probe: Probe, forward: Forward): Endpoint {
  if (forward.type !== 'dynamic' && forward.target !== null) return forward.target;
  if (probe.kind !== 'http') throw new ProbeFailed('a dynamic forward has no target: probe a URL');
  const url = new URL(probe.url);
  return tcp(
    url.hostname.replace(/^\[|\]$/g, ''),
    Number(url.port) || (url.protocol === 'https:' ? 443 : 80),
  );
}

function failureText(thrown: unknown): string {
  if (thrown instanceof ProbeFailed) return thrown.message;
  const error = asTunnelError(thrown);
  const dialled = error.facts.dial;
  if (dialled === 'refused' || dialled === 'absent') return 'target refused';
  if (dialled === 'unresolved') return 'target has no address';
  if (error instanceof TunnelError && error.code === 'LINK_LOST') return 'link lost';
  return failures[outcomeOf(error)];
}

const failures: Readonly<Record<Outcome, string>> = {
  ok: 'target unreachable',
  failed: 'target unreachable',
  unreachable: 'target unreachable',
  refused: 'target refused',
  prohibited: 'the SSH server forbids it',
  timeout: 'target does not answer',
};

/** A channel as a Node stream: for the few bytes of a probe (TLS wants one), never for a flow. */
function channelDuplex(channel: Channel): Duplex {
  let written: (() => void) | null = null;
  const stream = new Duplex({
    allowHalfOpen: true,
    read: () => undefined,
    write(chunk: Buffer, _encoding, done) {
      if (channel.write(chunk)) done();
      else written = done;
    },
    final(done) {
      channel.end();
      done();
    },
    destroy(error, done) {
      channel.close();
      done(error);
    },
  });
  channel.attach({
    data(chunk) {
      channel.consumed(chunk.length);
      if (!stream.destroyed) stream.push(chunk);
    },
    end: () => void stream.push(null),
    closed: () => void stream.destroy(),
    drain() {
      const done = written;
      written = null;
      done?.();
    },
  });
  return stream;
}
