// Ad-hoc tunnels belong to the user's own config, whatever the folder: where this folder has a config of its own, which command
// means the other one (SPEC 4).
import { existsSync } from 'node:fs';
import { readAdhoc } from '../config/adhoc.ts';
import { placesOfConfig, shortPath } from '../config/locate.ts';
import { selects } from '../config/selectors.ts';
import { namedConfig } from '../paths.ts';
import { knownTunnels } from './no-supervisor.ts';
import { locateTarget, type Where } from './supervisor.ts';

export interface Meant {
  readonly selectors: readonly string[];
  /** The command is about ad-hoc tunnels and no others. */
  readonly adhoc: boolean;
}

/** The user's own config where the command means that and not this folder's, as a person would name it; else null. */
export async function ownConfigMeant(where: Where, { selectors, adhoc }: Meant): Promise<string | null> {
  const { facts, places, options } = where;
  if (namedConfig(facts, options.config) !== null) return null;
  const first = places.configCandidates.find(({ path }) => existsSync(path));
  if (first?.project !== true) return null;
  const own = places.defaultConfig;
  if (adhoc) return shortPath(own, facts);
  if (selectors.length === 0) return null;
  const kept = Object.entries(readAdhoc(placesOfConfig(own, facts).adhoc, facts)).map(([name, tunnel]) => ({
    name,
    tags: tunnel['tags'] as readonly string[],
  }));
  if (!selectors.every((selector) => kept.some((tunnel) => selects(selector, tunnel)))) return null;
  const here = await knownTunnels(where, locateTarget(where), selectors);
  return here.some((tunnel) => selectors.some((selector) => selects(selector, tunnel)))
    ? null
    : shortPath(own, facts);
}
