// What `tunnel top` shows, kept up to date: the supervisor's snapshots, the bytes and connections asked for once a second, and what
// to say while there is no supervisor.
import { setTimeout as pause } from 'node:timers/promises';
import type { Context } from '../client/context.ts';
import { LocalPrograms } from '../client/local-programs.ts';
import { statusWithout } from '../client/no-supervisor.ts';
import type { Target } from '../client/supervisor.ts';
import type { ControlClient } from '../control/client.ts';
import { connectSupervisor } from '../control/reach.ts';
import { asTunnelError, TunnelError } from '../errors.ts';
import { formatEndpoint, tcp } from '../model/endpoint.ts';
import type { TunnelFlow } from '../model/flow.ts';
import type { StatusDocument } from '../model/status.ts';
import { flowKey, withFlows, withLook, type FlowTraffics, type Traffic } from '../model/traffic.ts';
import type { ShownFlow } from '../render/top.ts';

const lookMs = 1000;
/** With more tunnels than that each look is more work, and they are looked at less often. */
const tunnelsALook = 200;
/** Connections of one tunnel that are shown. */
const mostFlows = 500;
/** Without a supervisor the file is read again after so many looks. */
const looksAFile = 5;
/** Milliseconds without an answer after which what is shown is called old. */
const silentMs = 5000;

export interface FeedParts {
  readonly context: Context;
  readonly target: Target;
  readonly selectors: readonly string[];
  /** Whose connections are wanted; null for none. */
  readonly chosen: () => string | null;
  readonly changed: () => void;
}

export class TopFeed {
  readonly #parts: FeedParts;
  readonly #programs = new LocalPrograms();
  #document: StatusDocument | null = null;
  #traffic: Traffic = new Map();
  #flows: { readonly tunnel: string; readonly flows: readonly TunnelFlow[] } | null = null;
  #flowTraffics: FlowTraffics = new Map();
  #heardAtMs = 0;
  #connected = false;
  #client: ControlClient | null = null;
  /** Of the supervisor that was lost; null when none was. */
  #lost: string | null = null;

  constructor(parts: FeedParts) {
    this.#parts = parts;
  }

  /** Null until the first has come. */
  get document(): StatusDocument | null {
    return this.#document;
  }

  get traffic(): Traffic {
    return this.#traffic;
  }

  /** Why what is shown may be old; null while the supervisor answers. */
  trouble(): string | null {
    if (!this.#connected) return this.#lost;
    const { now } = this.#parts.context;
    const silent = now() - this.#heardAtMs;
    if (silent < silentMs) return null;
    return `the supervisor has not answered for ${Math.floor(silent / 1000)}s: this is how it was then`;
  }

  /** Connections of a tunnel; null where they are not known. */
  flows(tunnel: string): readonly ShownFlow[] | null {
    if (this.#flows?.tunnel !== tunnel) return null;
    return this.#flows.flows.map((flow) => {
      const key = flowKey(flow);
      return {
        ...flow,
        forward: flow.forward ?? flow.listen,
        program: this.#programs.of(flow),
        peer: flow.peer === null ? null : formatEndpoint(tcp(flow.peer.host, flow.peer.port)),
        rate: key === null ? null : (this.#flowTraffics.get(key)?.rate ?? null),
      };
    });
  }

  /** Another tunnel was chosen: its connections are asked for at once. */
  chose(): void {
    const client = this.#client;
    if (client === null) return;
    this.#lookAtFlows(client).then(this.#parts.changed, () => undefined); // what follows hears of it too
  }

  /** Goes on until the signal ends it, whatever becomes of supervisors. Rejects when there was nothing to show from the start. */
  async follow(signal: AbortSignal): Promise<never> {
    for (let looks = 0; ; looks += 1) {
      const client = await this.#connect(signal);
      if (client === null) {
        if (looks % looksAFile === 0) await this.#lookWithout();
        await pause(lookMs, undefined, { signal });
        continue;
      }
      this.#client = client;
      try {
        await this.#lookWith(client, signal);
      } catch (thrown) {
        signal.throwIfAborted();
        this.#lose(thrown);
      } finally {
        this.#client = null;
        client.close();
      }
      looks = -1;
      await pause(lookMs / 4, undefined, { signal });
    }
  }

  async #connect(signal: AbortSignal): Promise<ControlClient | null> {
    try {
      const { supervisor, owner } = this.#parts.target;
      return await connectSupervisor(supervisor, owner, signal);
    } catch (thrown) {
      signal.throwIfAborted();
      this.#lose(thrown);
      return null;
    }
  }

  /** A supervisor is gone, or cannot be spoken with: what it said last stays on the screen. */
  #lose(thrown: unknown): void {
    if (this.#document === null) throw thrown;
    const error = asTunnelError(thrown);
    const { pid } = this.#document.supervisor;
    const who = pid === null ? 'the supervisor' : `the supervisor (pid ${pid})`;
    const isGone = error.code === 'DAEMON_DOWN' || error.code === 'INTERNAL';
    this.#lost = isGone ? `${who} is gone: this is how it was then` : error.message;
    this.#connected = false;
    this.#flows = null;
    this.#parts.changed();
  }

  /** The tunnels of the file, all of them down. */
  async #lookWithout(): Promise<void> {
    const { context, target, selectors } = this.#parts;
    try {
      const document = await statusWithout(context, target, selectors);
      const gone = this.#document?.supervisor.running === true || this.#lost !== null;
      this.#lost = `${gone ? 'the supervisor is gone' : 'no supervisor is running'}: u brings up a tunnel, and starts one`;
      this.#take(document);
    } catch (thrown) {
      if (this.#document === null) throw thrown;
      this.#lost = asTunnelError(thrown).message;
      this.#parts.changed();
    }
  }

  async #lookWith(client: ControlClient, signal: AbortSignal): Promise<void> {
    const { selectors } = this.#parts;
    const watching = client.call(
      'watch',
      { selectors },
      { signal, onProgress: (document) => this.#heard(document) },
    );
    await Promise.race([watching, this.#lookEachSecond(client, signal)]);
    throw new TunnelError('DAEMON_DOWN', 'the supervisor ended');
  }

  #heard(document: StatusDocument): void {
    this.#connected = true;
    this.#lost = null;
    this.#heardAtMs = this.#parts.context.now();
    this.#take(document);
  }

  #take(document: StatusDocument): void {
    this.#document = document;
    this.#parts.changed();
  }

  /** Bytes alone are no change that `watch` tells. */
  async #lookEachSecond(client: ControlClient, signal: AbortSignal): Promise<void> {
    const { selectors } = this.#parts;
    for (;;) {
      const document = await client.call('status', { selectors });
      this.#traffic = withLook(this.#traffic, document.tunnels, performance.now());
      await this.#lookAtFlows(client);
      this.#heard(document);
      const patience = lookMs * Math.max(1, Math.ceil(document.tunnels.length / tunnelsALook));
      await pause(patience, undefined, { signal });
    }
  }

  async #lookAtFlows(client: ControlClient): Promise<void> {
    const tunnel = this.#parts.chosen();
    const status = this.#document?.tunnels.find(({ name }) => name === tunnel);
    const some = status?.forwards.some(({ open, held }) => open + held > 0) === true;
    if (tunnel === null || !some) {
      this.#flows = tunnel === null ? null : { tunnel, flows: [] };
      return;
    }
    try {
      const { flows } = await client.call('flows', { selectors: [tunnel], most: mostFlows });
      await this.#programs.look(flows);
      this.#flowTraffics = withFlows(this.#flowTraffics, flows, performance.now());
      this.#flows = { tunnel, flows };
    } catch (thrown) {
      if (!(thrown instanceof TunnelError) || thrown.code === 'DAEMON_DOWN') throw thrown;
      this.#flows = null; // a supervisor of before, or a tunnel that is gone
    }
  }
}
