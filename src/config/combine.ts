// All files together: the rules between keys, tunnels and files. Gives the config as written, or every issue. Pure.
import { dirname } from 'node:path';
import type { Account } from './account.ts';
import { login } from './address.ts';
import { overlay, type Declared, type DeclaredHost } from './declared.ts';
import { buildForwards } from './forwards.ts';
import { sortIssues, type ConfigIssue } from './issue.ts';
import type { ParsedFile } from './parse.ts';
import { addressRules, hostRules, orderRules, tunnelRules, type Entry } from './rules.ts';
import type { TunnelSettings } from './schema.ts';
import type { Path } from './source.ts';
import { harmless, harmlessRule, namePattern, nameRule } from './value.ts';

export type Combined = { readonly config: Declared } | { readonly issues: readonly ConfigIssue[] };

/** The config as it is put together from the files. */
interface Work {
  readonly files: readonly ParsedFile[];
  readonly main: ParsedFile;
  readonly defaults: TunnelSettings;
  readonly hosts: Map<string, DeclaredHost>;
  readonly entries: Map<string, Entry>;
  readonly issues: ConfigIssue[];
}

/** The main file first, then what it includes, in order. `account`: whose home `~` is. */
export function combine(files: readonly ParsedFile[], account: Pick<Account, 'home'>): Combined {
  const [main] = files;
  if (main === undefined) throw new Error('combine needs a file');
  const issues = files.flatMap((file) => file.issues);
  const defaults: TunnelSettings = main.settings.defaults ?? {};
  const work: Work = { files, main, defaults, hosts: new Map(), entries: new Map(), issues };
  const { hosts, entries } = work;
  for (const file of files) {
    for (const [name, settings] of Object.entries(file.settings.hosts ?? {}))
      if (mayStand(file, ['hosts', name], work))
        hosts.set(name, { name, settings, folder: dirname(file.file) });
    for (const [name, own] of Object.entries(file.settings.tunnels ?? {}))
      if (mayStand(file, ['tunnels', name], work)) entries.set(name, entryOf(name, own, file, work));
  }
  if (entries.size === 0 && !files.some((file) => file.faulty(['tunnels'])))
    issues.push(main.source.issue(['tunnels'], 'key', 'has no tunnels', { command: 'init' }));
  hostRules(files, hosts, defaults, issues);
  tunnelRules([...entries.values()]);
  orderRules(entries);
  addressRules([...entries.values()], account);
  if (issues.length > 0)
    return {
      issues: sortIssues(
        issues,
        files.map(({ file }) => file),
      ),
    };
  return { config: declaredOf(work) };
}

function declaredOf({ files, main, defaults, hosts, entries }: Work): Declared {
  return {
    file: main.file,
    files: files.map(({ file }) => file),
    defaults,
    hosts,
    tunnels: new Map(
      [...entries].map(([key, { name, own, settings, forwards, folder, adhoc }]) => [
        key,
        { name, own, settings, forwards, folder, adhoc },
      ]),
    ),
    metrics: main.settings.metrics ?? null,
    notify: main.settings.notify ?? true,
    hooks: main.settings.hooks ?? {},
  };
}

/** True when this entry may have its name. */
function mayStand(
  file: ParsedFile,
  path: readonly ['hosts' | 'tunnels', string],
  { files, hosts, entries, issues }: Work,
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
  if (!(section === 'hosts' ? hosts : entries).has(name)) return true;
  if (file.adhoc === true) return false;
  const other = files.find((each) => Object.hasOwn(each.settings[section] ?? {}, name));
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
  file: ParsedFile,
  { defaults, main, issues }: Work,
): Entry {
  const settings = overlay(own, defaults);
  const tell: Entry['tell'] = (path, side, message, clash) => {
    const [key] = path;
    const inherited =
      typeof key === 'string' &&
      (own as Record<string, unknown>)[key] === undefined &&
      (defaults as Record<string, unknown>)[key] !== undefined;
    const issue = file.source.issue(['tunnels', name, ...path], side, message);
    // The fault stands in `defaults`, but it is a fault only for this tunnel: both are named.
    const told = inherited
      ? { ...main.source.issue(['defaults', ...path], side, message), path: issue.path }
      : issue;
    issues.push(clash === undefined ? told : { ...told, clash });
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
    adhoc: file.adhoc === true,
    from: file,
    tell,
  };
}
