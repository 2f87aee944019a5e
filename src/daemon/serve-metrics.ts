// The metrics address of a supervisor, with the page behind it, whose code is loaded only where the file asks for one.
import type { Clock } from '../model/clock.ts';
import type { HistoryLine } from '../model/history.ts';
import type { StatusDocument } from '../model/status.ts';
import type { Engine } from '../supervisor/engine.ts';
import type { Log } from './log.ts';
import { MetricsServer } from './metrics-http.ts';

export interface MetricsSources {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly log: Pick<Log, 'write'>;
  readonly document: () => StatusDocument;
  readonly history: () => readonly HistoryLine[];
}

export function createMetricsServer({
  engine,
  clock,
  log,
  document,
  history,
}: MetricsSources): MetricsServer {
  return new MetricsServer({
    document,
    log: log.write,
    clock,
    openPage: async () => {
      const { openPage } = await import('./page.ts');
      return openPage({ engine, clock, history, document });
    },
  });
}
