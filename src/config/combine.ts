// All files together: the rules between keys, tunnels and files. Gives the config as written, or every issue. Pure.
import { dirname } from 'node:path';
import { login } from './address.ts';
import type { Declared, DeclaredHost, DeclaredTunnel } from './declared.ts';
import { overlay } from './declared.ts';
import { buildForwards } from './forwards.ts';
import { sortIssues, type ConfigIssue } from './issue.ts';
import { parseFile, type ParsedFile } from './parse.ts';
import { tunnelRules, hostRules, addressRules, orderRules } from './rules.ts';
import type { TunnelSettings } from './schema.ts';
import type { Path } from './source.ts';
import { harmless, harmlessRule, namePattern, nameRule } from './value.ts';

export type Combined = { readonly config: Declared } | { readonly issues: readonly ConfigIssue[] };

/** A text without includes: what `init` writes, and most tests. */
export function parseConfig(file: string, text: string): Combined {
  return combine([parseFile(file, text)]);
}

/** A tunnel with what the rules need to judge it. */
export interface Entry extends DeclaredTunnel {
  readonly from: ParsedFile;
  /** Where each forward is written, from the tunnel on. */
  readonly places: readonly Path[];
  readonly tell: (path: Path, side: 'key' | 'value', message: string) => void;
}

/** The main file first, then what it includes, in order. */
export function combine(files: readonly ParsedFile[]): Combined {
  const [main] = files;
  if (main === undefined) throw new Error('combine needs a file');
  const issues = files.flatMap((file) => file.issues);
  const defaults: TunnelSettings = main.settings.defaults ?? {};
  const hosts = new Map<string, DeclaredHost>();
  const entries = new Map<string, Entry>();
  for (const file of files) {
    for (const [name, settings] of Object.entries(file.settings.hosts ?? {}))
      if (claims(file, files, ['hosts', name], hosts.has(name), issues))
        hosts.set(name, { name, settings, folder: dirname(file.file) });
    for (const [name, own] of Object.entries(file.settings.tunnels ?? {}))
      if (claims(file, files, ['tunnels', name], entries.has(name), issues))
        entries.set(name, entryOf(name, own, defaults, file, main, issues));
  }
  if (entries.size === 0 && !files.some((file) => file.faulty(['tunnels'])))
    issues.push(main.source.issue(['tunnels'], 'key', 'has no tunnels', { command: 'init' }));
  hostRules(files, hosts, defaults, issues);
  tunnelRules([...entries.values()]);
  orderRules(entries);
  addressRules([...entries.values()]);
  if (issues.length > 0)
    return {
      issues: sortIssues(
        issues,
        files.map(({ file }) => file),
      ),
    };
  return { config: declaredOf(files, main, defaults, hosts, entries) };
}

function declaredOf(
  files: readonly ParsedFile[],
  main: ParsedFile,
  defaults: TunnelSettings,
  hosts: ReadonlyMap<string, DeclaredHost>,
  entries: ReadonlyMap<string, Entry>,
): Declared {
  return {
    file: main.file,
    files: files.map(({ file }) => file),
    defaults,
    hosts,
    tunnels: new Map(
      [...entries].map(([key, { name, own, settings, forwards, folder }]) => [
        key,
        { name, own, settings, forwards, folder },
      ]),
    ),
    metrics: main.settings.metrics ?? null,
    notify: main.settings.notify ?? true,
    hooks: main.settings.hooks ?? {},
  };
}

/** True when this entry may have its name. */
function claims(
  file: ParsedFile,
  files: readonly ParsedFile[],
  path: readonly [string, string],
  taken: boolean,
  issues: ConfigIssue[],
): boolean {
  const [section, name] = path;
  if (section === 'tunnels' && !namePattern.test(name)) {
    issues.push(file.source.issue(path, 'key', `the name of a tunnel ${nameRule}`));
    return false;
  }
  if (section === 'hosts' && !isHostName(name)) {
    const rule = harmless(name, 'host')
      ? 'must be one word without @ and commas, and no HOST:PORT'
      : harmlessRule;
    issues.push(file.source.issue(path, 'key', `the name of a host ${rule}`));
    return false;
  }
  if (!taken) return true;
  const other = files.find((each) =>
    Object.hasOwn(each.settings[section as 'hosts' | 'tunnels'] ?? {}, name),
  );
  const place = other?.source.issue(path, 'key', '');
  const where = place === undefined ? '' : ` (${place.file}:${place.line})`;
  issues.push(file.source.issue(path, 'key', `is in another file already${where}`));
  return false;
}

/** As the word after `host:` that means this very entry. */
function isHostName(name: string): boolean {
  const read = login(name);
  return 'value' in read && read.value.host === name && !name.includes(',');
}

function entryOf(
  name: string,
  own: TunnelSettings,
  defaults: TunnelSettings,
  file: ParsedFile,
  main: ParsedFile,
  issues: ConfigIssue[],
): Entry {
  const settings = overlay(own, defaults);
  const tell: Entry['tell'] = (path, side, message) => {
    const [key] = path;
    const inherited =
      typeof key === 'string' &&
      (own as Record<string, unknown>)[key] === undefined &&
      (defaults as Record<string, unknown>)[key] !== undefined;
    const issue = file.source.issue(['tunnels', name, ...path], side, message);
    // The fault stands in `defaults`, but it is a fault only for this tunnel: both are named.
    issues.push(
      inherited ? { ...main.source.issue(['defaults', ...path], side, message), path: issue.path } : issue,
    );
  };
  const faulty = (path: Path): boolean =>
    file.faulty(['tunnels', name, ...path]) || (path.length > 0 && main.faulty(['defaults', ...path]));
  const built = buildForwards(settings, tell, faulty);
  return {
    name,
    own,
    settings,
    forwards: built.map(({ forward }) => forward),
    places: built.map(({ at }) => at),
    folder: dirname(file.file),
    from: file,
    tell,
  };
}
