// The parts of a login in a command's own process: `trust` and `why` log in themselves.
import type { Context } from './context.ts';
import type { ReadyConfig } from './ready-config.ts';
import { systemClock } from '../model/clock.ts';
import { openSsh, type SshHouse } from '../ssh/parts.ts';

/** What a login has to say goes to `tell`, of each level but `debug`. */
export function openSshHere(
  { facts, places, program }: Context,
  config: ReadyConfig,
  tell: (message: string) => void,
): SshHouse {
  return openSsh({
    facts,
    places,
    clock: systemClock,
    log(level, _event, message) {
      if (level !== 'debug') tell(message);
    },
    program,
    project: config.project,
    config: () => config.resolved,
    writable: true,
  });
}
