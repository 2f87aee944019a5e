// Signals of a supervisor's process: what is taken, given back, and never given back.
import { afterEach, expect, test } from 'vitest';
import { refuseDebugger, takeSignals } from '../../src/daemon/signals.ts';

afterEach(() => void process.removeAllListeners('SIGUSR1'));

const nothing = (): void => undefined;

test.skipIf(process.platform === 'win32')(
  'the debugger stays shut after the other signals were given back',
  () => {
    const before = process.listenerCount('SIGTERM');
    refuseDebugger();
    const giveBack = takeSignals({
      end: nothing,
      endNow: nothing,
      reload: nothing,
      strange: nothing,
      bug: nothing,
    });
    expect(process.listenerCount('SIGTERM')).toBe(before + 1);
    giveBack();
    refuseDebugger();
    expect([process.listenerCount('SIGTERM'), process.listenerCount('SIGUSR1')]).toEqual([before, 1]);
  },
);
