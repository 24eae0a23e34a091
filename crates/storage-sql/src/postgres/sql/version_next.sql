SELECT nextval('portolan.versions');
