// Users of MongoDB and their rights. Its image runs this at the first start. After a change of passwords:
//   docker compose exec mongodb sh -c 'mongosh --quiet -u admin -p "$(cat /run/secrets/mongodb_admin)" \
//     admin /docker-entrypoint-initdb.d/users.js'
const { readFileSync } = require('fs');

const admin = db.getSiblingDB('admin');
const logs = { db: 'breakwater', collection: 'request_logs' };

const secret = (name) => readFileSync(`/run/secrets/mongodb_${name}`, 'utf8').trim();

function stand(kind, name, fields) { // make a user or a role, or bring one that is there up to date
  const known = admin.runCommand({ [`${kind}sInfo`]: name })[`${kind}s`].length > 0;
  const verb = known ? 'update' : 'create';
  const title = kind[0].toUpperCase() + kind.slice(1);
  const answer = admin.runCommand({ [`${verb}${title}`]: name, ...fields });
  if (answer.ok !== 1) throw new Error(`${verb} ${kind} ${name}: ${answer.errmsg}`);
}

stand('role', 'log_writer', { privileges: [{ resource: logs, actions: ['insert'] }], roles: [] });
stand('role', 'log_reader', { privileges: [{ resource: logs, actions: ['find'] }], roles: [] });
stand('role', 'log_remover', { privileges: [{ resource: logs, actions: ['remove'] }], roles: [] });

stand('user', 'worker', { pwd: secret('worker'), roles: [{ role: 'log_writer', db: 'admin' }, { role: 'log_reader', db: 'admin' }] });
stand('user', 'web', { pwd: secret('web'), roles: [{ role: 'log_reader', db: 'admin' }] });
stand('user', 'toolbox', { pwd: secret('toolbox'), roles: [{ role: 'log_writer', db: 'admin' }, { role: 'log_reader', db: 'admin' }, { role: 'log_remover', db: 'admin' }] });
stand('user', 'express', { pwd: secret('express'), roles: [{ role: 'read', db: 'breakwater' }] });
stand('user', 'admin', { pwd: secret('admin') });
