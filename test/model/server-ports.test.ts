// What a server's answer means, in the words of each tool that may give it.
import { execFileSync } from 'node:child_process';
import { createServer, type AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { portsCommand, readServerPorts } from '../../src/model/server-ports.ts';

const unknown = { program: null, pid: null };

test('ss tells programs where the account may see them', () => {
  const answer = `Welcome to katie, $USER!
tunnel ports 1
# ss
State  Recv-Q Send-Q Local Address:Port Peer Address:Port Process
LISTEN 0      128        127.0.0.1:5432      0.0.0.0:*     users:(("postgres",pid=712,fd=5))
LISTEN 0      4096   127.0.0.53%lo:53        0.0.0.0:*
LISTEN 0      511                *:8080            *:*     users:(("node \\"x\\"",pid=9,fd=18),("node",pid=10,fd=18))
LISTEN 0      128             [::]:22           [::]:*
LISTEN 0      128            [::1]:6010         [::]:*
LISTEN 0      50   [::ffff:10.0.0.1]:9000          *:*
ESTAB  0      0          127.0.0.1:22      127.0.0.1:5000
LISTEN 0      128        127.0.0.1:99999     0.0.0.0:*
`;
  expect(readServerPorts(answer)).toEqual([
    { address: '::', port: 22, ...unknown },
    { address: '127.0.0.53', port: 53, ...unknown },
    { address: '127.0.0.1', port: 5432, program: 'postgres', pid: 712 },
    { address: '::1', port: 6010, ...unknown },
    { address: '::', port: 8080, program: 'node \\"x\\"', pid: 9 },
    { address: '10.0.0.1', port: 9000, ...unknown },
  ]);
});

test('/proc/net is read in the byte order of the machine', () => {
  const answer = `tunnel ports 1
# proc
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12345 1
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12346 1
   2: 0100007F:1538 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 12347 1
  sl  local_address                         remote_address                        st
   0: 00000000000000000000000001000000:177A 00000000000000000000000000000000:0000 0A 00000000:00000000
   1: B80D0120000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000
   2: 0000000000000000FFFF00000100007F:0051 00000000000000000000000000000000:0000 0A 00000000:00000000
`;
  expect(readServerPorts(answer)).toEqual([
    { address: '0.0.0.0', port: 22, ...unknown },
    { address: '2001:db8::1', port: 80, ...unknown },
    { address: '127.0.0.1', port: 81, ...unknown },
    { address: '127.0.0.1', port: 5432, ...unknown },
    { address: '::1', port: 6010, ...unknown },
  ]);
});

test('netstat is read as the BSDs and as Linux write it', () => {
  const answer = `tunnel ports 1
# netstat
Active Internet connections (including servers)
Proto Recv-Q Send-Q  Local Address          Foreign Address        (state)
tcp4       0      0  127.0.0.1.5432         *.*                    LISTEN
tcp46      0      0  *.8080                 *.*                    LISTEN
tcp6       0      0  ::1.631                *.*                    LISTEN
tcp4       0      0  *.22                   *.*                    LISTEN
tcp        0      0  0.0.0.0:111            0.0.0.0:*              LISTEN
tcp        0      0  10.0.0.1:22            10.0.0.2:51000         ESTABLISHED
udp4       0      0  *.5353                 *.*
`;
  expect(readServerPorts(answer)).toEqual([
    { address: '0.0.0.0', port: 22, ...unknown },
    { address: '0.0.0.0', port: 111, ...unknown },
    { address: '::1', port: 631, ...unknown },
    { address: '127.0.0.1', port: 5432, ...unknown },
    { address: '::', port: 8080, ...unknown },
  ]);
});

test.each([
  '',
  'This account is currently not available.\n',
  'tunnel ports 1\n',
  'tunnel ports 1\n# something else\nLISTEN 0 128 127.0.0.1:1 0.0.0.0:*\n',
])('another answer than that of the command is none: %j', (answer) => {
  expect(readServerPorts(answer)).toBeNull();
});

test('the command finds a port of this machine in whatever way it has, by any login shell', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const run = (env: NodeJS.ProcessEnv): string =>
    execFileSync('/bin/sh', ['-c', portsCommand], { encoding: 'utf8', env });
  const found = readServerPorts(run({ PATH: process.env['PATH'] }));
  expect(found).toContainEqual(expect.objectContaining({ address: '127.0.0.1', port }));
  server.close();
});
