// A recording of what a terminal shows, and when, while somebody types into it.
import { setTimeout as pause } from 'node:timers/promises';
import type { Terminal } from '../test/helpers/tmux.ts';
import type { Shot } from './terminal-svg.ts';

const lookMs = 40;
const keyMs = 70;

/** Looks at the terminal until `act` has come to its end: each shot differs from the one before. */
export async function record(terminal: Terminal, act: () => Promise<void>): Promise<readonly Shot[]> {
  const shots: Shot[] = [];
  const began = performance.now();
  const look = (): void => {
    const seen = terminal.painted();
    if (seen.text !== shots.at(-1)?.text) shots.push({ atMs: performance.now() - began, ...seen });
  };
  let over = false;
  const acting = act().finally(() => (over = true));
  while (!over) {
    look();
    await Promise.race([pause(lookMs), acting]);
  }
  await acting;
  look();
  return shots;
}

/** As a person types it, and Enter. */
export async function enter(terminal: Terminal, line: string): Promise<void> {
  for (const character of line) {
    terminal.type(character);
    await pause(keyMs);
  }
  await pause(4 * keyMs);
  terminal.key('Enter');
}
