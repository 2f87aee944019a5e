// Any file of tunnels: which program's it is, told from what stands in it, and what is found in it.
import { readBoring } from './boring.ts';
import { readCommandLines } from './command-lines.ts';
import type { Found } from './found.ts';
import { readMole } from './mole.ts';
import { readPortato } from './portato.ts';
import { readSshConfig, type SshConfigLine } from './ssh-config.ts';
import { readTunlite } from './tunlite.ts';

export type Format = 'ssh_config' | 'boring' | 'Portato' | 'tunlite' | 'mole' | 'command lines';

/** What the readers have from elsewhere: the config's own parsers. */
export interface Parsers {
  yaml(text: string): unknown;
  sshConfig(text: string): readonly SshConfigLine[];
}

export function formatOf(text: string): Format {
  if (/^\s*\{/.test(text)) return 'tunlite';
  if (/^\s*\[\[\s*tunnels\s*\]\]/m.test(text)) return 'boring';
  if (/^tubers\s*:/m.test(text)) return 'Portato';
  if (/^\s*server\s*=/m.test(text) && /^\s*(source|destination)\s*=/m.test(text)) return 'mole';
  if (/^\s*(Host|Match)[\s=]/im.test(text) && !/^\s*(auto)?ssh\s/m.test(text)) return 'ssh_config';
  return 'command lines';
}

/** `own`: it is the user's own ssh_config. Throws where TOML or JSON is broken. */
export async function readForeign(text: string, own: boolean, parsers: Parsers): Promise<Found> {
  const format = own ? 'ssh_config' : formatOf(text);
  switch (format) {
    case 'ssh_config':
      return readSshConfig(parsers.sshConfig(text), own);
    case 'tunlite':
      return readTunlite(JSON.parse(text), text);
    case 'Portato':
      return readPortato(parsers.yaml(text), text);
    case 'boring':
      return readBoring(await readToml(text), text);
    case 'mole':
      return readMole(await readToml(text), text);
    case 'command lines':
      return readCommandLines(text);
  }
}

/** Loaded only for a file that needs it. */
async function readToml(text: string): Promise<unknown> {
  const { parse } = await import('smol-toml');
  return parse(text);
}
