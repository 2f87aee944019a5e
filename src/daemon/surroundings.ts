// What a supervisor does beside its tunnels: it watches the weather, serves metrics, and tells the desktop.
import { networkInterfaces } from 'node:os';
import type { TunnelError } from '../errors.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import type { ResolvedConfig } from '../model/tunnel.ts';
import type { PlaceFacts } from '../paths.ts';
import type { Engine, EngineLog } from '../supervisor/engine.ts';
import { watchNetwork } from './network-watch.ts';
import { createMetricsServer } from './metrics-http.ts';
import { createNotifier, showOnDesktop } from './notify.ts';

/** Changes come with every connection that is carried; whether a person is needed is looked at this seldom. */
const lookMs = 1000;

export interface Surroundings {
  /** A config came into force. */
  readonly onConfig: (config: ResolvedConfig) => Promise<void>;
  readonly metricsError: () => TunnelError | null;
  readonly close: () => Promise<void>;
}

export function openSurroundings(parts: {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly log: EngineLog;
  readonly facts: PlaceFacts;
}): Surroundings {
  const { engine, clock, log, facts } = parts;
  const names = (): readonly string[] => engine.known().map(({ name }) => name);
  const metrics = createMetricsServer(() => engine.status(names()), log, clock);
  const notifier = createNotifier(showOnDesktop(facts.platform, facts.env));
  let notify = true;
  let look: Cancel | null = null;
  const lookSoon = (): void => {
    look ??= clock.schedule(lookMs, () => {
      look = null;
      notifier.look(engine.status(names()), notify);
    });
  };
  const cancels = [
    watchNetwork({
      clock,
      interfaces: networkInterfaces,
      changed: (reason) => engine.lookAround(reason),
    }),
    engine.onChange(lookSoon),
    () => look?.(),
  ];
  return {
    onConfig(config) {
      notify = config.notify;
      return metrics.serve(config.metrics);
    },
    metricsError: () => metrics.error,
    async close() {
      for (const cancel of cancels) cancel();
      await metrics.close();
    },
  };
}
