// The findings of `tunnel why`: one step a layer of each hop, the shape that `why --json` prints (SPEC 4). Pure types.
import type { ErrorReport } from '../errors.ts';
import type { DialStep } from './session.ts';

export type WhyLayer = 'config' | DialStep['layer'] | 'listen' | 'target';

export interface WhyStep {
  /** The hop as the user knows it; for config, listen and target the last one. */
  readonly hop: string;
  readonly layer: WhyLayer;
  readonly status: 'ok' | 'failed' | 'skipped';
  /** How long it took; 0 where nothing was done. */
  readonly ms: number;
  /** In words, without a secret. */
  readonly detail: string;
}

/** A step, and what to say of it when it is the one that everything fails for. */
export interface Finding {
  readonly step: WhyStep;
  readonly error: ErrorReport | null;
}

export interface WhyDocument {
  readonly name: string;
  readonly ok: boolean;
  readonly steps: readonly WhyStep[];
  /** Of the first layer that fails; null when none does. */
  readonly error: ErrorReport | null;
}
