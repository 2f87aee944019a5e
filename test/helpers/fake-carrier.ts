// Carriers without sockets: ports are names in a set, and a test plays the clients.
import { TunnelError } from '../../src/errors.ts';
import type {
  Carrier,
  CarrierParts,
  CarrierStatus,
  CreateCarrier,
  LinkView,
} from '../../src/model/carrier.ts';
import { formatEndpoint, isLoopback } from '../../src/model/endpoint.ts';
import type { FlowView } from '../../src/model/flow.ts';
import type { Forward } from '../../src/model/forward.ts';
import type { Hold } from '../../src/model/tunnel.ts';

/** The ports of the machine: what is in `taken` cannot be bound. */
export class FakePorts {
  readonly taken = new Set<string>();
  readonly carriers: FakeCarrier[] = [];
  nextPort = 40_001;

  readonly create: CreateCarrier = (forward, hold, parts) => {
    const carrier = new FakeCarrier(this, forward, hold, parts);
    this.carriers.push(carrier);
    return carrier;
  };

  /** The newest carrier whose forward was written with this address. */
  at(listen: string): FakeCarrier {
    const found = this.carriers.filter(({ forward }) => formatEndpoint(forward.listen) === listen).at(-1);
    if (found === undefined) throw new Error(`no carrier on ${listen}`);
    return found;
  }
}

export class FakeCarrier implements Carrier {
  forward: Forward;
  hold: Hold;
  readonly parts: CarrierParts;
  readonly views: LinkView[] = [];
  opens = 0;
  resets = 0;
  closes: number[] = [];
  bound = false;
  open_ = 0;
  held = 0;
  error: TunnelError | null = null;
  broken = false;
  /** A remote forward that waits for the test to say what the server does. */
  manual = false;
  port = '';
  #ports: FakePorts;
  #drained: (() => void) | null = null;

  constructor(ports: FakePorts, forward: Forward, hold: Hold, parts: CarrierParts) {
    this.#ports = ports;
    this.forward = forward;
    this.hold = hold;
    this.parts = parts;
  }

  get view(): LinkView | undefined {
    return this.views.at(-1);
  }

  open(): Promise<void> {
    this.opens += 1;
    if (this.forward.type === 'remote' || this.bound) return Promise.resolve();
    const { listen } = this.forward;
    const auto = listen.kind === 'tcp' && listen.port === 0;
    const port = auto ? (this.parts.preferredPort ?? this.#ports.nextPort++) : 0;
    const at = auto ? formatEndpoint({ ...listen, port }) : formatEndpoint(listen);
    if (this.#ports.taken.has(at))
      return Promise.reject(new TunnelError('LISTEN_FAILED', `listen failed, on ${at}: in use`));
    this.#ports.taken.add(at);
    this.port = at;
    this.bound = true;
    return Promise.resolve();
  }

  link(view: LinkView): void {
    this.views.push(view);
    if (this.forward.type === 'remote' && !this.manual) this.bound = view.state === 'up';
  }

  accepts(forward: Forward): boolean {
    return (
      forward.type === this.forward.type &&
      formatEndpoint(forward.listen) === formatEndpoint(this.forward.listen)
    );
  }

  replace(forward: Forward, hold: Hold): void {
    this.forward = forward;
    this.hold = hold;
  }

  resetConnections(): void {
    this.resets += 1;
    this.open_ = 0;
    this.held = 0;
    this.#drained?.();
  }

  status(): CarrierStatus {
    const { listen } = this.forward;
    return {
      listen: this.port === '' ? formatEndpoint(listen) : this.port,
      target: this.forward.type === 'dynamic' ? '*' : 'target',
      bound: this.bound,
      exposed: !isLoopback(listen),
      error: this.error,
      broken: this.broken,
      errorAtMs: this.error === null ? null : 0,
      probe: null,
      open: this.open_,
      held: this.held,
      total: 0,
      failed: 0,
      bytesIn: 0,
      bytesOut: 0,
    };
  }

  listening(): null {
    return null;
  }

  letGo(): Promise<void> {
    return Promise.resolve();
  }

  async close(drainMs: number): Promise<void> {
    this.closes.push(drainMs);
    if (this.bound) this.#ports.taken.delete(this.port);
    this.bound = false;
    this.held = 0;
    if (drainMs > 0 && this.open_ > 0) await new Promise<void>((resolve) => (this.#drained = resolve));
    this.open_ = 0;
  }

  connections(most: number): readonly FlowView[] {
    const flow = { peer: null, port: null, ageMs: 0, running: true, bytesIn: 0, bytesOut: 0 };
    return Array.from({ length: Math.min(most, this.open_) }, () => flow);
  }

  /** A client arrives while the link is away. */
  clientWaits(): void {
    this.held += 1;
    this.parts.events.knock();
    this.parts.events.changed();
  }

  /** Flows run, or end. */
  flows(count: number): void {
    this.open_ = count;
    this.held = 0;
    this.parts.events.changed();
    if (count === 0) this.#drained?.();
  }
}
