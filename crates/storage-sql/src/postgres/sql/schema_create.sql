CREATE SCHEMA portolan;
