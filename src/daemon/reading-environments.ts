// In which environment ssh_config is read for each tunnel: that of the command which brings it up, kept in memory (SPEC 2).
import { isDeepStrictEqual } from 'node:util';
import type { EnvironmentOf } from '../config/load.ts';

type Variables = Readonly<Record<string, string | undefined>>;

/** A command that brings tunnels up. */
export interface Bringing {
  readonly variables: Variables;
  readonly brings: (tunnel: Parameters<EnvironmentOf>[0]) => boolean;
}

/** One reading of the config. */
export interface Reading {
  readonly environmentOf: EnvironmentOf;
  /** It can be used: the next readings go by what this one went by. */
  readonly worked: () => void;
}

/** `first`: that of the command which started the supervisor. `wanted`: names of the tunnels that are up or shall be. */
export function createReadingEnvironments(
  first: Variables,
  wanted: () => ReadonlySet<string>,
): (bringing: Bringing | null) => Reading {
  let newest = first;
  let before: ReadonlyMap<string, Variables> = new Map();
  return (bringing) => {
    const running = wanted();
    // Equal ones are one, so that ssh is not asked again for each terminal.
    const known = bringing === null ? [] : [newest, ...new Set(before.values())];
    const latest =
      known.find((each) => isDeepStrictEqual(each, bringing?.variables)) ?? bringing?.variables ?? newest;
    const used = new Map<string, Variables>();
    return {
      environmentOf(tunnel) {
        // What runs is not moved by a command that is about others; what does not run goes by the newest command.
        const keeps = running.has(tunnel.name) && bringing?.brings(tunnel) !== true;
        const its = (keeps ? before.get(tunnel.name) : undefined) ?? latest;
        used.set(tunnel.name, its);
        return its;
      },
      worked() {
        newest = latest;
        before = used;
      },
    };
  };
}
