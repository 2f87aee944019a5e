// Finds the config file and names it. On the way of every command, so it knows neither yaml nor zod, and reads no file.
import { existsSync, realpathSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { TunnelError } from '../errors.ts';
import {
  namedConfig,
  type PlaceFacts,
  type Places,
  placesOf,
  supervisorPlaces,
  type SupervisorPlaces,
} from '../paths.ts';

export interface FoundConfig {
  /** Absolute path as the user would know it. */
  readonly path: string;
  /** Found by being in the current folder: it needs consent before its first use (SPEC 1). */
  readonly project: boolean;
  /** Named by --config or TUNNEL_CONFIG: naming it is consent. */
  readonly named: boolean;
}

/**
 * The config file to use. It exists, or there are ad-hoc tunnels of its supervisor; nothing more is known of it.
 * Throws CONFIG_MISSING, naming every place that was looked at.
 */
export function findConfig(places: Places, facts: PlaceFacts, option: string | undefined): FoundConfig {
  const named = namedConfig(facts, option);
  if (named !== null) {
    if (isUsable(named)) return { path: named, project: false, named: true };
    throw new TunnelError('CONFIG_MISSING', `no config, looked at ${shortPath(named, facts)}`, {
      hint: { command: 'init' },
    });
  }
  const found = places.configCandidates.find(({ path, project }) =>
    project ? existsSync(path) : isUsable(path),
  );
  if (found !== undefined) return { ...found, named: false };
  function isUsable(path: string): boolean {
    return existsSync(path) || existsSync(placesOfConfig(path, facts).adhoc);
  }

  const looked = places.configCandidates.map((candidate) => shortPath(candidate.path, facts));
  throw new TunnelError('CONFIG_MISSING', `no config, looked at ${looked.join(' and ')}`, {
    hint: { command: 'init' },
  });
}

/**
 * The identity of a config file: the real path of the folder plus the file's name. The last name is not followed,
 * since mounted ConfigMaps and Nix links swap it. A folder that is gone leaves the path as it is.
 */
export function configIdentity(path: string): string {
  try {
    return join(realpathSync(dirname(path)), basename(path));
  } catch {
    return path; // the folder is gone; `down` and `logs` still find their supervisor by the path they knew
  }
}

/** Where the files of the supervisor of a config are. */
export function placesOfConfig(config: string, facts: PlaceFacts): SupervisorPlaces {
  return supervisorPlaces(placesOf(facts), configIdentity(config), facts.platform);
}

/** A path as a person writes it: ./ for the current folder, ~ for the home. */
export function shortPath(path: string, facts: Pick<PlaceFacts, 'cwd' | 'home'>): string {
  if (dirname(path) === facts.cwd) return `./${basename(path)}`;
  const inHome = relative(facts.home, path);
  if (inHome !== '' && !inHome.startsWith('..') && facts.home !== '/') return `~/${inHome}`;
  return path;
}
