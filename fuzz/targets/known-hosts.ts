// known_hosts: every line is an entry, skipped with its reason, or nothing; what is written is read back as the same.
import assert from 'node:assert/strict';
import {
  formatEntry,
  matchesHosts,
  namesExactly,
  parseKnownHosts,
  withKey,
  withoutName,
} from '../../src/trust/known-hosts.ts';
import { corpusOf, inherited, type Target } from '../target.ts';

const names = ['host.example', '[host.example]:2222', 'constructor'];

function check(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  const { entries, skipped } = parseKnownHosts(text, 'known_hosts');
  const lines = text.split('\n').length;
  for (const { line } of [...entries, ...skipped]) assert(line >= 1 && line <= lines);
  for (const { reason } of skipped) assert.notEqual(reason, '');
  for (const entry of entries) {
    const again = parseKnownHosts(formatEntry(entry), 'known_hosts').entries[0];
    assert.deepEqual(
      { ...again, line: 0, fingerprint: again?.fingerprint },
      { ...entry, line: 0, fingerprint: entry.fingerprint, comment: again?.comment },
    );
    for (const name of names) if (namesExactly(entry.hosts, name)) assert(matchesHosts(entry.hosts, name));
  }
  const [first] = entries;
  const [name = ''] = names;
  if (first !== undefined) roundTrip(text, name, first.key);
  return `${entries.map(({ marker, type }) => `${marker} ${type}`).join()} ${skipped.map(({ reason }) => reason.slice(0, 20)).join()}`;
}

/** A key that is added stands there, once; taken out again, every line that does not name the host is as it was. */
function roundTrip(text: string, name: string, key: Buffer): void {
  const added = withKey(text, name, key);
  const found = parseKnownHosts(added.text, '').entries.find(({ line }) => line === added.line);
  assert(found !== undefined && found.key.equals(key) && namesExactly(found.hosts, name));
  assert.equal(withKey(added.text, name, key).added, false);
  const { text: left } = withoutName(added.text, name, () => true);
  assert(!parseKnownHosts(left, '').entries.some(({ hosts }) => hosts === name));
}

export const knownHostsTarget: Target = {
  name: 'known_hosts',
  corpus: corpusOf('fuzz/known_hosts'),
  words: [
    ...inherited,
    '@revoked ',
    '@cert-authority ',
    '|1|',
    '*',
    '!',
    '?',
    ',',
    '[',
    ']:22',
    ' ',
    '\t',
    '\r\n',
    '\n',
    '#',
    '=',
    'ssh-ed25519 ',
    'ssh-rsa ',
    'ecdsa-sha2-nistp256 ',
    'AAAA',
    'AAAAC3NzaC1lZDI1NTE5AAAAI',
    'host.example',
  ],
  check,
};
